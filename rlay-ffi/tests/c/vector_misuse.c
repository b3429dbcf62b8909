/* A caller that does with vector agents what it should not gets error codes. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <string.h>

enum { SLOTS = 3 };

typedef struct {
    int64_t action[SLOTS];
    uint8_t is_numpy[8];
} Actions;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool listens;

static int32_t observe(void *user, const rlay_Turn *turn, rlay_Result *result) {
    static const rlay_Discrete zero = {0};
    (void)user;
    if (turn->kind == RLAY_TURN_STEP && turn->slot == 1) {
        OK(rlay_fail(TEXT("ValueError"), TEXT("not here")));
        return RLAY_ENV;
    }
    result->observation = &zero;
    result->observation_length = sizeof zero;
    return RLAY_OK;
}

static void closed(void *user, const rlay_Turn *turn) {
    (void)turn;
    OK(rlay_env_stop(user));
}

static void *host(void *unused) {
    rlay_Spec *spec = rlay_spec_new(rlay_space_discrete(2, 0), rlay_space_discrete(2, 0));
    rlay_Callbacks callbacks = {0};
    rlay_Env *env;
    (void)unused;
    OK(rlay_spec_set_slots(spec, SLOTS));
    OK(rlay_env_listen(TEXT("mem://vector-misuse"), spec, NULL, &env));
    rlay_spec_free(spec);
    pthread_mutex_lock(&lock);
    listens = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    callbacks.user = env;
    callbacks.reset = observe;
    callbacks.step = observe;
    callbacks.close = closed;
    OK(rlay_env_run(env, &callbacks));
    OK(rlay_env_close(env));
    return NULL;
}

static void null_arguments(void) {
    rlay_VectorAgent *agent = NULL;
    const rlay_Value *value;
    rlay_VectorStep step;
    rlay_TurnKind kind;
    EXPECT(rlay_vector_agent_connect(NULL, 1, NULL, &agent), RLAY_NULL_ARGUMENT);
    TRUE(agent == NULL);
    EXPECT(rlay_vector_agent_connect(TEXT("mem://none"), NULL, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_listen(NULL, 1, NULL, &agent), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_reset(NULL, NULL, NULL, 0, NULL, &step), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_step(NULL, NULL, 0, &step), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_late(NULL, &kind, &step, NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_render(NULL, &value), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_attribute(NULL, TEXT("x"), RLAY_GET, NULL, NULL, &value), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_stop(NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_close(NULL), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_options_set_num_envs(NULL, 1), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_space_batch_size(NULL, 1, NULL), RLAY_NULL_ARGUMENT);
}

static void wrong_options(void) {
    rlay_Options *options = rlay_options_new();
    rlay_Space *space = rlay_space_text(0, 4, NULL, 0);
    rlay_Leaf leaf;
    size_t size;
    EXPECT(rlay_options_set_num_envs(options, 65537), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_options_set_autoreset_mode(options, 3), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_space_batch_size(space, 2, &size), RLAY_WRONG_KIND);
    EXPECT(rlay_space_batch_leaf(space, 0, 2, &leaf), RLAY_WRONG_KIND);
    rlay_space_free(space);
    rlay_options_free(options);
}

static void *from_another_thread(void *agent) {
    rlay_VectorStep step;
    const rlay_Value *value;
    EXPECT(rlay_vector_agent_reset(agent, NULL, NULL, 0, NULL, &step), RLAY_WRONG_THREAD);
    EXPECT(rlay_vector_agent_info(agent, 0, &value), RLAY_WRONG_THREAD);
    EXPECT(rlay_vector_agent_close(agent), RLAY_WRONG_THREAD);
    OK(rlay_vector_agent_stop(agent)); /* which may be called anywhere */
    return NULL;
}

static void wrong_calls(rlay_VectorAgent *agent) {
    Actions actions = {{0}, {0}};
    const uint8_t none[SLOTS] = {0}, all[SLOTS] = {1, 1, 1};
    rlay_Value *values = rlay_value_list();
    const rlay_Value *value;
    rlay_VectorStep step;
    rlay_TurnKind kind;
    rlay_Final end;
    EXPECT(rlay_vector_agent_render(agent, &value), RLAY_USAGE); /* it has no render mode */
    EXPECT(rlay_vector_agent_attribute(agent, TEXT("x"), RLAY_GET, NULL, NULL, &value), RLAY_USAGE);
    EXPECT(rlay_vector_agent_attribute(agent, TEXT("x"), 3, NULL, NULL, &value), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_RESET_NEEDED);
    EXPECT(rlay_vector_agent_info(agent, 0, &value), RLAY_RESET_NEEDED);
    EXPECT(rlay_vector_agent_final(agent, 0, &end), RLAY_RESET_NEEDED);
    EXPECT(rlay_vector_agent_observation_value(agent, 0, &value), RLAY_RESET_NEEDED);
    EXPECT(rlay_vector_agent_late(agent, &kind, &step, NULL), RLAY_USAGE);
    EXPECT(rlay_vector_agent_reset(agent, NULL, all, SLOTS - 1, NULL, &step), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_vector_agent_reset(agent, NULL, NULL, SLOTS, NULL, &step), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_reset(agent, NULL, none, SLOTS, NULL, &step), RLAY_USAGE);
    EXPECT(rlay_vector_agent_reset(agent, NULL, NULL, 0, NULL, NULL), RLAY_NULL_ARGUMENT);
    OK(rlay_vector_agent_reset(agent, NULL, all, SLOTS, NULL, &step));
    EXPECT(rlay_vector_agent_info(agent, SLOTS, &value), RLAY_NOT_FOUND);
    EXPECT(rlay_vector_agent_observation_value(agent, SLOTS, &value), RLAY_NOT_FOUND);
    EXPECT(rlay_vector_agent_final(agent, 0, &end), RLAY_NOT_FOUND);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions - 1, &step), RLAY_INVALID_ACTION);
    EXPECT(rlay_vector_agent_step(agent, NULL, sizeof actions, &step), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_vector_agent_step_value(agent, values, &step), RLAY_INVALID_ACTION); /* too few */
    EXPECT(rlay_vector_agent_step_value(agent, NULL, &step), RLAY_NULL_ARGUMENT);
    OK(rlay_vector_agent_reset(agent, NULL, NULL, 0, NULL, &step));
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_ENV); /* slot 1 fails */
    TRUE(strstr(rlay_last_error(NULL, NULL), "ValueError: not here") != NULL);
    EXPECT(rlay_agent_close((rlay_Agent *)agent), RLAY_CLOSED); /* it is none */
    rlay_value_free(values);
}

int main(void) {
    rlay_VectorAgent *agent;
    rlay_VectorStep step;
    pthread_t thread, other;
    null_arguments();
    wrong_options();
    TRUE(pthread_create(&thread, NULL, host, NULL) == 0);
    pthread_mutex_lock(&lock);
    while (!listens)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    OK(rlay_vector_agent_connect(TEXT("mem://vector-misuse"), NULL, &agent));
    wrong_calls(agent);
    TRUE(pthread_create(&other, NULL, from_another_thread, agent) == 0);
    TRUE(pthread_join(other, NULL) == 0);
    EXPECT(rlay_vector_agent_reset(agent, NULL, NULL, 0, NULL, &step), RLAY_CLOSED); /* it was stopped */
    OK(rlay_vector_agent_close(agent));
    EXPECT(rlay_vector_agent_close(agent), RLAY_CLOSED);
    EXPECT(rlay_vector_agent_step(agent, NULL, 0, &step), RLAY_CLOSED);
    TRUE(pthread_join(thread, NULL) == 0);
    puts("all mistakes are errors");
    return 0;
}
