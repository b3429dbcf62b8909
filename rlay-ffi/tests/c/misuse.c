/* A caller that does all of it wrong gets error codes. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <string.h>

static rlay_Spec *coin(void) { return rlay_spec_new(rlay_space_discrete(2, 0), rlay_space_discrete(2, 0)); }

static void null_arguments(void) {
    rlay_Env *env = NULL;
    rlay_Agent *agent = NULL;
    rlay_Turn turn;
    rlay_Space *space = rlay_space_dict();
    int64_t x;
    EXPECT(rlay_env_listen(NULL, 5, NULL, NULL, &env), RLAY_NULL_ARGUMENT);
    TRUE(env == NULL);
    EXPECT(rlay_env_listen(TEXT("mem://null"), NULL, NULL, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_env_poll(NULL, &turn), RLAY_NULL_ARGUMENT);
    TRUE(turn.kind == RLAY_TURN_NONE);
    EXPECT(rlay_env_reply(NULL, NULL, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_env_close(NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_env_run(NULL, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_connect(NULL, 1, NULL, &agent), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_step(NULL, NULL, 0, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_close(NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_value_append(NULL, rlay_value_none()), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_value_as_int(NULL, &x), RLAY_WRONG_KIND); /* NULL is None */
    EXPECT(rlay_space_set(space, TEXT("a"), NULL), RLAY_NULL_ARGUMENT);
    TRUE(rlay_spec_new(space, rlay_space_discrete(2, 0)) == NULL); /* it lacks a part */
    TRUE(strstr(rlay_last_error(NULL, NULL), "could not be made") != NULL);
    TRUE(rlay_spec_new(NULL, rlay_space_discrete(2, 0)) == NULL);
    EXPECT(rlay_spec_set_metadata(NULL, rlay_value_dict()), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_options_set_token(NULL, NULL, 0), RLAY_NULL_ARGUMENT);
    rlay_value_free(NULL);
    rlay_space_free(NULL);
    rlay_spec_free(NULL);
    rlay_options_free(NULL);
}

static void wrong_arguments(void) {
    static const uint64_t huge[2] = {0, UINT64_MAX}, shape[1] = {3};
    rlay_Options *options = rlay_options_new();
    rlay_Value *value = rlay_value_str(TEXT("text")), *tuple = rlay_value_tuple();
    const rlay_Value *found;
    rlay_Space *space = rlay_space_discrete(2, 0);
    rlay_Status status;
    rlay_Env *env;
    char buffer[4];
    size_t length = 0;
    int64_t x;
    TRUE(rlay_value_str("\xff", 1) == NULL);
    rlay_last_error(&length, &status);
    TRUE(status == RLAY_INVALID_ARGUMENT && length > 0);
    TRUE(rlay_value_array(99, shape, 1, NULL, 0) == NULL);
    TRUE(rlay_value_array(RLAY_FLOAT32, shape, 1, (const uint8_t *)"12345678", 8) == NULL);
    TRUE(rlay_value_array(RLAY_FLOAT32, huge, 2, NULL, 0) == NULL);
    TRUE(rlay_space_box(RLAY_UINT8, huge, 2, 0, 1) == NULL);
    TRUE(rlay_space_discrete(0, 0) == NULL);
    TRUE(rlay_space_text(3, 2, NULL, 0) == NULL);
    EXPECT(rlay_value_as_int(value, &x), RLAY_WRONG_KIND);
    EXPECT(rlay_value_append(value, rlay_value_none()), RLAY_WRONG_KIND);
    EXPECT(rlay_value_item(tuple, 0, &found), RLAY_NOT_FOUND);
    EXPECT(rlay_value_get(tuple, TEXT("key"), &found), RLAY_WRONG_KIND);
    EXPECT(rlay_space_describe(space, buffer, sizeof buffer, &length), RLAY_SHORT_BUFFER);
    TRUE(length == strlen("Discrete(2)"));
    EXPECT(rlay_space_append(space, rlay_space_tuple()), RLAY_WRONG_KIND);
    EXPECT(rlay_options_set_connect_timeout(options, -1), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_options_set_token(options, TEXT("short")), RLAY_USAGE);
    EXPECT(rlay_options_set_max_sessions(options, 0), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_options_add_attribute(options, TEXT("step")), RLAY_USAGE);
    EXPECT(rlay_env_listen(TEXT("nowhere"), NULL, options, &env), RLAY_ADDRESS);
    EXPECT(rlay_env_dial(TEXT("carrier-pigeon://coop"), NULL, options, &env), RLAY_ADDRESS);
    TRUE(env == NULL);
    TRUE(strcmp(rlay_status_name(12345), "unknown") == 0);
    rlay_value_free(value);
    rlay_value_free(tuple);
    rlay_space_free(space);
    rlay_options_free(options);
}

static rlay_Env *shared;

static void *from_another_thread(void *unused) {
    rlay_Turn turn;
    (void)unused;
    EXPECT(rlay_env_poll(shared, &turn), RLAY_WRONG_THREAD);
    EXPECT(rlay_env_reply(shared, &turn, NULL), RLAY_WRONG_THREAD);
    EXPECT(rlay_env_close(shared), RLAY_WRONG_THREAD);
    OK(rlay_env_stop(shared)); /* which may be called anywhere */
    return NULL;
}

static void handles(void) {
    rlay_Spec *spec = coin();
    rlay_Env *env, *second;
    rlay_Turn turn;
    pthread_t thread;
    int64_t x;
    OK(rlay_env_listen(TEXT("mem://handles"), spec, NULL, &env));
    EXPECT(rlay_env_listen(TEXT("mem://handles"), spec, NULL, &second), RLAY_ADDRESS_IN_USE);
    OK(rlay_env_poll(env, &turn));
    TRUE(turn.kind == RLAY_TURN_NONE);
    EXPECT(rlay_env_reply(env, &turn, NULL), RLAY_WRONG_KIND);
    EXPECT(rlay_env_action_int(env, &turn, &x), RLAY_WRONG_KIND);
    EXPECT(rlay_env_wait(env, -1, &turn), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_agent_close((rlay_Agent *)env), RLAY_CLOSED); /* it is none */
    EXPECT(rlay_env_poll((rlay_Env *)spec, &turn), RLAY_CLOSED);
    shared = env;
    TRUE(pthread_create(&thread, NULL, from_another_thread, NULL) == 0);
    TRUE(pthread_join(thread, NULL) == 0);
    EXPECT(rlay_env_wait(env, 60, &turn), RLAY_CLOSED); /* it was stopped */
    OK(rlay_env_close(env));
    EXPECT(rlay_env_close(env), RLAY_CLOSED);
    EXPECT(rlay_env_poll(env, &turn), RLAY_CLOSED);
    EXPECT(rlay_env_stop(env), RLAY_CLOSED);
    OK(rlay_env_listen(TEXT("mem://handles"), spec, NULL, &env)); /* the address is free */
    OK(rlay_env_close(env));
    rlay_spec_free(spec);
}

static void *play(void *unused) {
    const rlay_Discrete heads = {1, 1, {0}};
    rlay_Agent *agent;
    rlay_Step step;
    const rlay_Value *value;
    (void)unused;
    OK(rlay_agent_connect(TEXT("mem://replies"), NULL, &agent));
    EXPECT(rlay_agent_step(agent, &heads, sizeof heads, &step), RLAY_RESET_NEEDED);
    EXPECT(rlay_agent_observation_value(agent, &value), RLAY_RESET_NEEDED);
    OK(rlay_agent_reset(agent, NULL, NULL, &step));
    EXPECT(rlay_agent_step(agent, &heads, 3, &step), RLAY_INVALID_ACTION);
    EXPECT(rlay_agent_step(agent, NULL, 16, &step), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_render(agent, &value), RLAY_USAGE); /* it has no render mode */
    EXPECT(rlay_agent_step(agent, &heads, sizeof heads, &step), RLAY_ENV);
    TRUE(strstr(rlay_last_error(NULL, NULL), "ValueError: no heads") != NULL);
    OK(rlay_agent_close(agent));
    EXPECT(rlay_agent_close(agent), RLAY_CLOSED);
    return NULL;
}

static void replies(void) {
    rlay_Spec *spec = coin();
    const rlay_Discrete tails = {0};
    rlay_Env *env;
    rlay_Turn turn = {0}, stale;
    rlay_Result result = {0};
    rlay_Value *list = rlay_value_list();
    pthread_t thread;
    bool is_over = false;
    OK(rlay_env_listen(TEXT("mem://replies"), spec, NULL, &env));
    TRUE(pthread_create(&thread, NULL, play, NULL) == 0);
    while (!is_over) {
        OK(rlay_env_wait(env, 30, &turn));
        stale = turn;
        switch (turn.kind) {
        case RLAY_TURN_RESET:
            EXPECT(rlay_env_poll(env, &turn), RLAY_USAGE); /* it is to be answered first */
            turn = stale;
            EXPECT(rlay_env_reply(env, &turn, NULL), RLAY_NULL_ARGUMENT);
            EXPECT(rlay_env_reply(env, &turn, &result), RLAY_NULL_ARGUMENT); /* no observation */
            result.observation = &tails;
            result.observation_length = 9;
            EXPECT(rlay_env_reply(env, &turn, &result), RLAY_SHORT_BUFFER);
            result.observation_length = sizeof tails;
            result.info = list;
            EXPECT(rlay_env_reply(env, &turn, &result), RLAY_WRONG_KIND);
            result.info = NULL;
            EXPECT(rlay_env_reply_frame(env, &turn, rlay_value_none()), RLAY_WRONG_KIND);
            EXPECT(rlay_env_reply_make(env, &turn, spec), RLAY_WRONG_KIND);
            stale.slot = 7;
            EXPECT(rlay_env_reply(env, &stale, &result), RLAY_USAGE);
            stale.slot = 0;
            stale.session = 7;
            EXPECT(rlay_env_reply(env, &stale, &result), RLAY_USAGE);
            OK(rlay_env_reply(env, &turn, &result));
            EXPECT(rlay_env_reply(env, &turn, &result), RLAY_USAGE); /* it was answered */
            break;
        case RLAY_TURN_STEP:
            EXPECT(rlay_env_reply_error(env, &turn, 77, TEXT(""), TEXT("no such code")), RLAY_INVALID_ARGUMENT);
            EXPECT(rlay_env_reply_error(env, &turn, RLAY_ENV, "\xff", 1, TEXT("not UTF-8")), RLAY_INVALID_ARGUMENT);
            OK(rlay_env_reply_error(env, &turn, RLAY_ENV, TEXT("ValueError"), TEXT("no heads")));
            break;
        case RLAY_TURN_CLOSE:
            EXPECT(rlay_env_reply(env, &turn, &result), RLAY_WRONG_KIND);
            is_over = true;
            break;
        default: TRUE(!"another turn");
        }
    }
    TRUE(pthread_join(thread, NULL) == 0);
    OK(rlay_env_close(env));
    rlay_value_free(list);
    rlay_spec_free(spec);
}

int main(void) {
    null_arguments();
    wrong_arguments();
    handles();
    replies();
    puts("all mistakes are errors");
    return 0;
}
