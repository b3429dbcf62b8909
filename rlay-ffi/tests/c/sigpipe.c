/* A host of large observations, and an agent that plays until it is killed: sigpipe host ADDRESS, sigpipe agent
 * ADDRESS, sigpipe last ADDRESS. None of them does anything about SIGPIPE. */
#include "check.h"

#include <string.h>

enum { LENGTH = 1 << 20, STEPS = 3 };

static uint8_t observation[LENGTH];

static rlay_Options *options_of(void) {
    rlay_Options *options = rlay_options_new();
    OK(rlay_options_set_connect_timeout(options, 60));
    OK(rlay_options_set_reconnect_timeout(options, 0));
    OK(rlay_options_set_liveness(options, 60));
    OK(rlay_options_set_max_sessions(options, 8));
    return options;
}

static void host(const char *address) {
    const uint64_t shape[1] = {LENGTH};
    rlay_Spec *spec = rlay_spec_new(rlay_space_box(RLAY_UINT8, shape, 1, 0, 255), rlay_space_discrete(2, 0));
    rlay_Options *options = options_of();
    rlay_Result result = {0};
    rlay_Turn turn;
    rlay_Env *env;
    const char *text;
    size_t length;
    OK(rlay_env_listen(address, strlen(address), spec, options, &env));
    OK(rlay_env_address(env, &text, &length));
    printf("%.*s\n", (int)length, text);
    fflush(stdout);
    result.observation = observation;
    result.observation_length = sizeof observation;
    for (;;) {
        if (rlay_env_wait(env, 1, &turn) == RLAY_OK && (turn.kind == RLAY_TURN_RESET || turn.kind == RLAY_TURN_STEP))
            rlay_env_reply(env, &turn, &result); /* the agent may be gone */
    }
}

static void agent(const char *address, bool is_last) {
    const rlay_Discrete action = {0};
    rlay_Options *options = options_of();
    rlay_Agent *agent;
    rlay_Step step;
    int i;
    OK(rlay_agent_connect(address, strlen(address), options, &agent));
    rlay_options_free(options);
    OK(rlay_agent_reset(agent, NULL, NULL, &step));
    puts("playing");
    fflush(stdout);
    for (i = 0; !is_last || i < STEPS; i++)
        OK(rlay_agent_step(agent, &action, sizeof action, &step));
    OK(rlay_agent_close(agent));
}

int main(int argc, char **argv) {
    TRUE(argc == 3);
    if (strcmp(argv[1], "host") == 0)
        host(argv[2]);
    else
        agent(argv[2], strcmp(argv[1], "last") == 0);
    return 0;
}
