/* Learners that listen, for one game and for several, use attributes, and get answers late: dialing ADDRESS. */
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

static int64_t int_of(const rlay_Value *value) {
    int64_t found;
    OK(rlay_value_as_int(value, &found));
    return found;
}

static int64_t item_of(const rlay_Value *list, size_t index) {
    const rlay_Value *item;
    OK(rlay_value_item(list, index, &item));
    return int_of(item);
}

/* The attribute "sum", and the function "scaled(factor, *, plus)". */
static rlay_Value *attribute(const rlay_Turn *turn, rlay_Discrete *sum) {
    const rlay_Value *plus;
    if (turn->attribute_length == 3) {
        if (turn->access == RLAY_SET)
            sum->value = int_of(turn->value);
        return turn->access == RLAY_SET ? NULL : rlay_value_int(sum->value);
    }
    if (turn->access == RLAY_GET)
        return NULL; /* a function */
    OK(rlay_value_get(turn->kwargs, TEXT("plus"), &plus));
    return rlay_value_int(sum->value * item_of(turn->value, 0) + int_of(plus));
}

/* A game that counts: it observes the sum of its actions, and answers but a reset only when it may. */
static void *game(void *user) {
    const Place *place = user;
    rlay_Value *modes = rlay_value_list(), *metadata = rlay_value_dict();
    rlay_Spec *spec = rlay_spec_new(rlay_space_discrete(100, 0), rlay_space_discrete(100, 0));
    rlay_Options *options = rlay_options_new();
    rlay_Discrete sum = {0};
    rlay_Env *env;
    rlay_Turn turn = {0};
    rlay_Result result = {0};
    int64_t action;
    OK(rlay_value_append(modes, rlay_value_str(TEXT("ansi"))));
    OK(rlay_value_set(metadata, TEXT("render_modes"), modes));
    OK(rlay_spec_set_metadata(spec, metadata));
    OK(rlay_options_add_attribute(options, TEXT("sum")));
    OK(rlay_options_add_attribute(options, TEXT("scaled")));
    OK(rlay_env_dial(place->address, place->length, spec, options, &env));
    rlay_spec_free(spec);
    rlay_options_free(options);
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
        case RLAY_TURN_ATTRIBUTE:
            await_permission();
            OK(rlay_env_reply_attribute(env, &turn, attribute(&turn, &sum)));
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

/* The arguments of scaled(5, plus=1), which are the caller's. */
static void arguments(rlay_Value **args, rlay_Value **kwargs) {
    *args = rlay_value_tuple();
    *kwargs = rlay_value_dict();
    OK(rlay_value_append(*args, rlay_value_int(5)));
    OK(rlay_value_set(*kwargs, TEXT("plus"), rlay_value_int(1)));
}

static void attributes_of_one(rlay_Agent *agent) {
    rlay_Value *args, *kwargs, *number = rlay_value_int(30), *keys = rlay_value_dict();
    const rlay_Value *found;
    const rlay_Spec *spec;
    const char *name;
    size_t length;
    OK(rlay_agent_spec(agent, &spec));
    TRUE(rlay_spec_attribute_count(spec) == 2 && rlay_spec_attribute_count(NULL) == 0);
    OK(rlay_spec_attribute(spec, 1, &name, &length));
    TRUE(length == 6 && memcmp(name, "scaled", 6) == 0);
    EXPECT(rlay_spec_attribute(spec, 2, &name, &length), RLAY_NOT_FOUND);
    finish(agent, rlay_agent_attribute(agent, TEXT("sum"), RLAY_GET, NULL, NULL, &found), RLAY_TURN_ATTRIBUTE, NULL,
           &found);
    TRUE(int_of(found) == 12);
    finish(agent, rlay_agent_attribute(agent, TEXT("sum"), RLAY_SET, number, NULL, &found), RLAY_TURN_ATTRIBUTE, NULL,
           &found);
    TRUE(rlay_value_kind(found) == RLAY_VALUE_NONE);
    finish(agent, rlay_agent_attribute(agent, TEXT("scaled"), RLAY_GET, NULL, NULL, &found), RLAY_TURN_ATTRIBUTE, NULL,
           &found);
    TRUE(found == NULL);
    arguments(&args, &kwargs);
    finish(agent, rlay_agent_attribute(agent, TEXT("scaled"), RLAY_CALL, args, kwargs, &found), RLAY_TURN_ATTRIBUTE,
           NULL, &found);
    TRUE(int_of(found) == 151);
    EXPECT(rlay_agent_attribute(agent, TEXT("other"), RLAY_GET, NULL, NULL, &found), RLAY_USAGE);
    EXPECT(rlay_agent_attribute(agent, TEXT("sum"), 7, NULL, NULL, &found), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_agent_attribute(agent, TEXT("sum"), RLAY_SET, NULL, NULL, &found), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_attribute(agent, TEXT("sum"), RLAY_SET, number, kwargs, &found), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_agent_attribute(agent, TEXT("sum"), RLAY_GET, number, NULL, &found), RLAY_INVALID_ARGUMENT);
    EXPECT(rlay_agent_attribute(agent, TEXT("scaled"), RLAY_CALL, number, NULL, &found), RLAY_WRONG_KIND);
    EXPECT(rlay_agent_attribute(agent, TEXT("scaled"), RLAY_CALL, args, number, &found), RLAY_WRONG_KIND);
    OK(rlay_value_put(keys, rlay_value_int(1), rlay_value_int(1)));
    EXPECT(rlay_agent_attribute(agent, TEXT("scaled"), RLAY_CALL, args, keys, &found), RLAY_WRONG_KIND);
    EXPECT(rlay_agent_attribute(agent, NULL, 3, RLAY_GET, NULL, NULL, &found), RLAY_NULL_ARGUMENT);
    EXPECT(rlay_agent_attribute(NULL, TEXT("sum"), RLAY_GET, NULL, NULL, &found), RLAY_NULL_ARGUMENT);
    rlay_value_free(args);
    rlay_value_free(kwargs);
    rlay_value_free(number);
    rlay_value_free(keys);
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
    attributes_of_one(agent);
    let_answer(false);
    EXPECT(rlay_agent_attribute(agent, TEXT("sum"), RLAY_GET, NULL, NULL, &frame), RLAY_TIMEOUT);
    let_answer(true);
    finish(agent, RLAY_TIMEOUT, RLAY_TURN_ATTRIBUTE, NULL, &frame);
    TRUE(int_of(frame) == 30);
    let_answer(false);
    EXPECT(rlay_agent_step(agent, &action, sizeof action, &step), RLAY_TIMEOUT);
    let_answer(true);
    finish(agent, rlay_agent_reset(agent, NULL, NULL, &step), RLAY_TURN_RESET, &step, NULL); /* drops the late one */
    TRUE(((const rlay_Discrete *)step.observation)->value == 0);
    OK(rlay_agent_close(agent));
    TRUE(pthread_join(thread, NULL) == 0);
}

static void finish_all(rlay_VectorAgent *agent, rlay_Status status, rlay_TurnKind wanted, rlay_VectorStep *step,
                       const rlay_Value **value) {
    rlay_TurnKind kind = wanted;
    while (status == RLAY_TIMEOUT)
        status = rlay_vector_agent_late(agent, &kind, step, value);
    OK(status);
    TRUE(kind == wanted);
}

static void attributes_of_several(rlay_VectorAgent *agent) {
    const rlay_TurnKind kind = RLAY_TURN_ATTRIBUTE;
    rlay_Value *args, *kwargs, *numbers = rlay_value_list();
    const rlay_Value *found;
    int i;
    finish_all(agent, rlay_vector_agent_attribute(agent, TEXT("sum"), RLAY_GET, NULL, NULL, &found), kind, NULL, &found);
    TRUE(rlay_value_count(found) == GAMES);
    for (i = 0; i < GAMES; i++)
        TRUE(item_of(found, i) == 21 + 2 * i);
    for (i = 0; i < GAMES; i++) {
        EXPECT(rlay_vector_agent_attribute(agent, TEXT("sum"), RLAY_SET, numbers, NULL, &found), RLAY_USAGE);
        OK(rlay_value_append(numbers, rlay_value_int(30 + i)));
    }
    finish_all(agent, rlay_vector_agent_attribute(agent, TEXT("sum"), RLAY_SET, numbers, NULL, &found), kind, NULL,
               &found);
    finish_all(agent, rlay_vector_agent_attribute(agent, TEXT("scaled"), RLAY_GET, NULL, NULL, &found), kind, NULL,
               &found);
    TRUE(found == NULL);
    arguments(&args, &kwargs);
    finish_all(agent, rlay_vector_agent_attribute(agent, TEXT("scaled"), RLAY_CALL, args, kwargs, &found), kind, NULL,
               &found);
    for (i = 0; i < GAMES; i++)
        TRUE(item_of(found, i) == 5 * (30 + i) + 1);
    EXPECT(rlay_vector_agent_attribute(agent, TEXT("sum"), RLAY_SET, kwargs, NULL, &found), RLAY_WRONG_KIND);
    EXPECT(rlay_vector_agent_attribute(NULL, TEXT("sum"), RLAY_GET, NULL, NULL, &found), RLAY_NULL_ARGUMENT);
    rlay_value_free(args);
    rlay_value_free(kwargs);
    rlay_value_free(numbers);
}

static void frames_of_several(rlay_VectorAgent *agent) {
    const rlay_Value *frames, *frame;
    const char *text;
    size_t length;
    int i;
    let_answer(false);
    EXPECT(rlay_vector_agent_render(agent, &frames), RLAY_TIMEOUT);
    let_answer(true);
    finish_all(agent, RLAY_TIMEOUT, RLAY_TURN_RENDER, NULL, &frames);
    TRUE(rlay_value_count(frames) == GAMES);
    for (i = 0; i < GAMES; i++) {
        OK(rlay_value_item(frames, i, &frame));
        OK(rlay_value_as_str(frame, &text, &length));
        TRUE(length == 5 && memcmp(text, "a sum", 5) == 0);
    }
    finish_all(agent, rlay_vector_agent_render(agent, &frames), RLAY_TURN_RENDER, NULL, &frames);
    TRUE(rlay_value_count(frames) == GAMES);
}

static void several(const char *address) {
    struct {
        int64_t action[GAMES];
        uint8_t is_numpy[8];
    } actions = {{1, 2, 3}, {0}};
    rlay_Options *options = options_of(GAMES);
    const uint64_t seed = 20;
    const int64_t *seen;
    rlay_TurnKind kind;
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
    finish_all(agent, rlay_vector_agent_reset(agent, &seed, NULL, 0, NULL, &step), RLAY_TURN_RESET, &step, NULL);
    TRUE(step.num_envs == GAMES && step.observations_length == sizeof actions);
    EXPECT(rlay_vector_agent_late(agent, &kind, &step, NULL), RLAY_USAGE);
    EXPECT(rlay_vector_agent_late(agent, NULL, &step, NULL), RLAY_NULL_ARGUMENT);
    let_answer(false);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_TIMEOUT);
    EXPECT(rlay_vector_agent_step(agent, &actions, sizeof actions, &step), RLAY_BUSY);
    EXPECT(rlay_vector_agent_late(agent, &kind, &step, NULL), RLAY_TIMEOUT);
    let_answer(true);
    finish_all(agent, RLAY_TIMEOUT, RLAY_TURN_STEP, &step, NULL);
    seen = (const int64_t *)step.observations;
    for (i = 0; i < GAMES; i++)
        TRUE(seen[i] == 21 + 2 * i && step.rewards[i] == 21 + 2 * i);
    attributes_of_several(agent);
    frames_of_several(agent);
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
