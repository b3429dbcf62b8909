/* The blocking form with callbacks, and a learner that plays with it, each on a thread of its own. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    rlay_Env *env;
    rlay_Spec *spec;
    float position[2];
    int closed;
} World;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char listening[64];

static int32_t make(void *user, const rlay_Turn *turn, const rlay_Spec **spec) {
    World *world = user;
    if (turn->env_id_length != 4 || memcmp(turn->env_id, "flat", 4) != 0)
        return RLAY_ENV; /* without a text */
    *spec = world->spec;
    return RLAY_OK;
}

static void observe(World *world, rlay_Result *result) {
    result->observation = world->position;
    result->observation_length = sizeof world->position;
}

static int32_t reset(void *user, const rlay_Turn *turn, rlay_Result *result) {
    World *world = user;
    const rlay_Value *where;
    double x;
    memset(world->position, 0, sizeof world->position);
    if (rlay_value_get(turn->options, TEXT("x"), &where) == RLAY_OK && rlay_value_as_float(where, &x) == RLAY_OK)
        world->position[0] = (float)x;
    observe(world, result);
    return RLAY_OK;
}

static int32_t step(void *user, const rlay_Turn *turn, rlay_Result *result) {
    World *world = user;
    const float *push = (const float *)turn->action; /* aligned, and of the size of the space */
    rlay_Turn other;
    TRUE(turn->action_length == sizeof world->position);
    EXPECT(rlay_env_poll(world->env, &other), RLAY_USAGE); /* this turn comes first */
    if (push[0] > 1) {
        OK(rlay_fail(TEXT("ValueError"), TEXT("too hard a push")));
        return RLAY_ENV;
    }
    if (push[0] < -1)
        return RLAY_OK; /* without an observation, a mistake of the program of which the agent learns */
    world->position[0] += push[0];
    world->position[1] += push[1];
    result->reward = world->position[0];
    result->truncated = world->position[0] >= 3;
    observe(world, result);
    return RLAY_OK;
}

static int32_t render(void *user, const rlay_Turn *turn, rlay_Value **frame) {
    (void)user;
    TRUE(turn->render_mode_length == 4 && memcmp(turn->render_mode, "ansi", 4) == 0);
    *frame = rlay_value_str(TEXT("a flat world"));
    return RLAY_OK;
}

static int32_t attribute(void *user, const rlay_Turn *turn, rlay_Value **value) {
    (void)user;
    TRUE(turn->access == RLAY_GET);
    *value = rlay_value_float(9.81);
    return RLAY_OK;
}

static void gone(void *user, const rlay_Turn *turn) {
    World *world = user;
    TRUE(turn->reason_length > 0);
    if (++world->closed == 2) /* the first agent was refused */
        OK(rlay_env_stop(world->env));
}

static rlay_Spec *describe(void) {
    static const uint64_t shape[1] = {2};
    rlay_Value *metadata = rlay_value_dict(), *modes = rlay_value_list();
    rlay_Spec *spec = rlay_spec_new(rlay_space_box(RLAY_FLOAT32, shape, 1, -1e30, 1e30),
                                    rlay_space_box(RLAY_FLOAT32, shape, 1, -2, 2));
    OK(rlay_value_append(modes, rlay_value_str(TEXT("ansi"))));
    OK(rlay_value_set(metadata, TEXT("render_modes"), modes));
    OK(rlay_spec_set_metadata(spec, metadata));
    return spec;
}

static void *host(void *unused) {
    rlay_Callbacks callbacks = {0};
    rlay_Options *options = rlay_options_new();
    const char *address;
    size_t length;
    World world;
    (void)unused;
    memset(&world, 0, sizeof world);
    world.spec = describe();
    OK(rlay_options_add_attribute(options, TEXT("gravity")));
    OK(rlay_env_listen(TEXT("tcp://127.0.0.1:0"), NULL, options, &world.env));
    rlay_options_free(options);
    OK(rlay_env_address(world.env, &address, &length));
    pthread_mutex_lock(&lock);
    memcpy(listening, address, length);
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    callbacks.user = &world;
    callbacks.make = make;
    callbacks.reset = reset;
    callbacks.step = step;
    callbacks.render = render;
    callbacks.attribute = attribute;
    callbacks.close = gone;
    OK(rlay_env_run(world.env, &callbacks));
    OK(rlay_env_close(world.env));
    rlay_spec_free(world.spec);
    return NULL;
}

static void learn(void) {
    rlay_Options *options = rlay_options_new();
    rlay_Value *where = rlay_value_dict();
    rlay_Agent *agent;
    rlay_Step next;
    rlay_Leaf leaf;
    const rlay_Spec *spec;
    const rlay_Space *actions;
    const rlay_Value *frame;
    const char *text;
    const uint64_t seed = 7;
    float push[2] = {1, 0.5f}, position[2];
    double low, high;
    size_t length;
    OK(rlay_options_set_timeout(options, 30));
    EXPECT(rlay_agent_connect(listening, strlen(listening), options, &agent), RLAY_ENV); /* what make() refuses */
    OK(rlay_options_set_env_id(options, TEXT("flat")));
    OK(rlay_options_set_render_mode(options, TEXT("ansi")));
    OK(rlay_agent_connect(listening, strlen(listening), options, &agent));
    rlay_options_free(options);
    OK(rlay_agent_spec(agent, &spec));
    OK(rlay_spec_action_space(spec, &actions));
    OK(rlay_space_leaf(actions, 0, &leaf));
    TRUE(leaf.kind == RLAY_SPACE_BOX && leaf.dtype == RLAY_FLOAT32 && leaf.ndim == 1 && leaf.shape[0] == 2);
    TRUE(leaf.offset == 0 && leaf.size == sizeof push);
    OK(rlay_space_range(actions, 1, &low, &high));
    TRUE(low == -2 && high == 2);
    OK(rlay_value_set(where, TEXT("x"), rlay_value_float(0.25)));
    OK(rlay_agent_reset(agent, &seed, where, &next));
    rlay_value_free(where);
    memcpy(position, next.observation, sizeof position);
    TRUE(position[0] == 0.25f && position[1] == 0);
    OK(rlay_agent_render(agent, &frame));
    OK(rlay_value_as_str(frame, &text, &length));
    TRUE(length == 12 && memcmp(text, "a flat world", 12) == 0);
    push[0] = 2;
    EXPECT(rlay_agent_step(agent, push, sizeof push, &next), RLAY_ENV);
    TRUE(strstr(rlay_last_error(NULL, NULL), "ValueError: too hard a push") != NULL);
    push[0] = -2;
    EXPECT(rlay_agent_step(agent, push, sizeof push, &next), RLAY_ENV);
    TRUE(strstr(rlay_last_error(NULL, NULL), "so is observation_value") != NULL);
    push[0] = 1;
    do {
        OK(rlay_agent_step(agent, push, sizeof push, &next));
        TRUE(next.observation_length == sizeof position && !next.terminated);
        memcpy(position, next.observation, sizeof position);
        TRUE(next.reward == position[0]);
    } while (!next.truncated);
    TRUE(position[0] == 3.25f && position[1] == 1.5f);
    OK(rlay_agent_close(agent));
}

int main(void) {
    pthread_t thread;
    TRUE(pthread_create(&thread, NULL, host, NULL) == 0);
    pthread_mutex_lock(&lock);
    while (!listening[0])
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    learn();
    TRUE(pthread_join(thread, NULL) == 0);
    puts("the learner has played");
    return 0;
}
