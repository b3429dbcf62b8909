/* Learners that listen, for one game and for several, and whose answers come late: dialing ADDRESS. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <string.h>

enum { GAMES = 3 };

typedef struct {
    const char *address;
    size_t length;
} Place;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool may_answer = true;

static void let_answer(bool may) {
    pthread_mutex_lock(&lock);
    may_answer = may;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void await_permission(void) {
    pthread_mutex_lock(&lock);
    while (!may_answer)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* A game that counts: it observes the sum of its actions, and answers no step or render before it may. */
static void *game(void *user) {
    const Place *place = user;
    rlay_Value *modes = rlay_value_list(), *metadata = rlay_value_dict();
    rlay_Spec *spec = rlay_spec_new(rlay_space_discrete(100, 0), rlay_space_discrete(100, 0));
    rlay_Discrete sum = {0};
    rlay_Env *env;
    rlay_Turn turn = {0};
    rlay_Result result = {0};
    int64_t action;
    OK(rlay_value_append(modes, rlay_value_str(TEXT("ansi"))));
    OK(rlay_value_set(metadata, TEXT("render_modes"), modes));
    OK(rlay_spec_set_metadata(spec, metadata));
    OK(rlay_env_dial(place->address, place->length, spec, NULL, &env));
    rlay_spec_free(spec);
    result.observation = &sum;
    result.observation_length = sizeof sum;
    do {
        OK(rlay_env_wait(env, 60, &turn));
        switch (turn.kind) {
        case RLAY_TURN_RESET:
            sum.value = turn.has_seed ? (int64_t)turn.seed : 0;
            result.reward = 0;
            OK(rlay_env_reply(env, &turn, &result));
            break;
        case RLAY_TURN_STEP:
            OK(rlay_env_action_int(env, &turn, &action));
            sum.value += action;
            result.reward = (double)sum.value;
            await_permission();
            OK(rlay_env_reply(env, &turn, &result));
            break;
        case RLAY_TURN_RENDER:
            await_permission();
            OK(rlay_env_reply_frame(env, &turn, rlay_value_str(TEXT("a sum"))));
            break;
        default: TRUE(turn.kind == RLAY_TURN_CLOSE);
        }
    } while (turn.kind != RLAY_TURN_CLOSE);
    OK(rlay_env_close(env));
    return NULL;
}

/* A short timeout: every call may be late, and those that the game holds up are. */
static rlay_Options *options_of(uint32_t num_envs) {
    rlay_Options *options = rlay_options_new();
    OK(rlay_options_set_timeout(options, 0.05));
    OK(rlay_options_set_connect_timeout(options, 60));
    OK(rlay_options_set_render_mode(options, TEXT("ansi")));
    OK(rlay_options_set_num_envs(options, num_envs));
    return options;
}

/* Waits for the answer to a call, late or not, which has come to `status`. */
static void finish(rlay_Agent *agent, rlay_Status status, rlay_TurnKind wanted, rlay_Step *step,
                   const rlay_Value **frame) {
    rlay_TurnKind kind = wanted;
    while (status == RLAY_TIMEOUT)
        status = rlay_agent_late(agent, &kind, step, frame);
    OK(status);
    TRUE(kind == wanted);
}

static void one(const char *address) {
    rlay_Options *options = options_of(0);
    const rlay_Discrete action = {5, 0, {0}};
    const uint64_t seed = 7;
    const rlay_Value *frame;
    const char *text;
    size_t length;
    rlay_TurnKind kind;
    rlay_Agent *agent;
    rlay_Step step;
    pthread_t thread;
    Place place;
    OK(rlay_agent_listen(address, strlen(address), options, &agent));
    rlay_options_free(options);
    OK(rlay_agent_address(agent, &place.address, &place.length));
    TRUE(pthread_create(&thread, NULL, game, &place) == 0);
    finish(agent, rlay_agent_reset(agent, &seed, NULL, &step), RLAY_TURN_RESET, &step, NULL);
    TRUE(step.observation_length == sizeof action && ((const rlay_Discrete *)step.observation)->value == 7);
    EXPECT(rlay_agent_late(agent, &kind, &step, NULL), RLAY_USAGE);
    let_answer(false);
    EXPECT(rlay_agent_step(agent, &action, sizeof action, &step), RLAY_TIMEOUT);
    EXPECT(rlay_agent_step(agent, &action, sizeof action, &step), RLAY_BUSY);
    EXPECT(rlay_agent_late(agent, &kind, &step, NULL), RLAY_TIMEOUT); /* it is late still */
    EXPECT(rlay_agent_late(agent, NULL, &step, NULL), RLAY_NULL_ARGUMENT);
    let_answer(true);
    finish(agent, RLAY_TIMEOUT, RLAY_TURN_STEP, &step, NULL);
    TRUE(step.reward == 12 && ((const rlay_Discrete *)step.observation)->value == 12);
    let_answer(false);
    EXPECT(rlay_agent_render(agent, &frame), RLAY_TIMEOUT);
    let_answer(true);
    finish(agent, RLAY_TIMEOUT, RLAY_TURN_RENDER, NULL, &frame);
    OK(rlay_value_as_str(frame, &text, &length));
    TRUE(length == 5 && memcmp(text, "a sum", 5) == 0);
    let_answer(false);
    EXPECT(rlay_agent_step(agent, &action, sizeof action, &step), RLAY_TIMEOUT);
    let_answer(true);
    finish(agent, rlay_agent_reset(agent, NULL, NULL, &step), RLAY_TURN_RESET, &step, NULL); /* drops the late one */
    TRUE(((const rlay_Discrete *)step.observation)->value == 0);
    OK(rlay_agent_close(agent));
    TRUE(pthread_join(thread, NULL) == 0);
}

static void finish_all(rlay_VectorAgent *agent, rlay_Status status, rlay_VectorStep *step) {
    while (status == RLAY_TIMEOUT)
        status = rlay_vector_agent_late(agent, step);
    OK(status);
}

static void several(const char *address) {
    struct {
        int64_t action[GAMES];
        uint8_t is_numpy[8];
    } actions = {{1, 2, 3}, {0}};
    rlay_Options *options = options_of(GAMES);
    const uint64_t seed = 20;
    const int64_t *seen;
    rlay_VectorAgent *agent;
    rlay_VectorStep step;
    pthread_t threads[GAMES];
    Place place;
    int i;
    OK(rlay_vector_agent_listen(address, strlen(address), options, &agent));
    rlay_options_free(options);
    OK(rlay_vector_agent_address(agent, &place.address, &place.length));
    for (i = 0; i < GAMES; i++)
        TRUE(pthread_create(&threads[i], NULL, game, &place) == 0);
    finish_all(agent, rlay_vector_agent_reset(agent, &seed, NULL, 0, NULL, &step), &step);
    TRUE(step.num_envs == GAMES && step.observations_length == sizeof actions);
    EXPECT(rlay_vector_agent_late(agent, &step), RLAY_USAGE);
    let_answer(false);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_TIMEOUT);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_BUSY);
    EXPECT(rlay_vector_agent_late(agent, &step), RLAY_TIMEOUT);
    let_answer(true);
    finish_all(agent, RLAY_TIMEOUT, &step);
    seen = (const int64_t *)step.observations;
    for (i = 0; i < GAMES; i++)
        TRUE(seen[i] == 21 + 2 * i && step.rewards[i] == 21 + 2 * i);
    OK(rlay_vector_agent_close(agent));
    for (i = 0; i < GAMES; i++)
        TRUE(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    one(argv[1]);
    several(argv[1]);
    puts("all games have dialed");
    return 0;
}
