/* A learner of five environments of a host, in the autoreset mode that the arguments say: vectors ADDRESS MODE. */
#include "check.h"

#include <string.h>

enum { ENVS = 5, STEPS = 40 };

/* The observations of all slots: Tuple(Box(0, 255, (3,), uint8), Discrete(8)). */
typedef struct {
    uint8_t bytes[ENVS][3], padding[1];
    int64_t number[ENVS];
    uint8_t is_numpy[8];
} Observations;

typedef struct {
    int64_t action[ENVS];
    uint8_t is_numpy[8];
} Actions;

/* What the environments of the host do, which is known here, too: an episode takes 2 steps, or 3 with an odd seed. */
typedef struct {
    uint8_t seed, t;
    bool is_over;
} Slot;

static bool is_over(const Slot *slot) { return slot->t == 2 + slot->seed % 2; }

static void check_spaces(rlay_VectorAgent *agent) {
    const rlay_Spec *spec;
    const rlay_Space *space;
    rlay_Leaf leaf;
    size_t size;
    OK(rlay_vector_agent_spec(agent, &spec));
    TRUE(rlay_spec_slots(spec) == ENVS);
    OK(rlay_spec_observation_space(spec, &space));
    OK(rlay_space_batch_size(space, ENVS, &size));
    TRUE(size == sizeof(Observations));
    OK(rlay_space_batch_leaf(space, 0, ENVS, &leaf));
    TRUE(leaf.kind == RLAY_SPACE_BOX && leaf.offset == 0 && leaf.size == 3);
    OK(rlay_space_batch_leaf(space, 1, ENVS, &leaf));
    TRUE(leaf.kind == RLAY_SPACE_DISCRETE && leaf.offset == 16 && leaf.size == 8);
    EXPECT(rlay_space_batch_leaf(space, 2, ENVS, &leaf), RLAY_NOT_FOUND);
}

static void check_rows(rlay_VectorAgent *agent, const rlay_VectorStep *step, const Slot *slots) {
    const Observations *seen = (const Observations *)step->observations;
    const rlay_Value *value, *number;
    int64_t x;
    int i;
    TRUE(step->num_envs == ENVS && step->observations_length == sizeof *seen);
    for (i = 0; i < ENVS; i++) {
        TRUE(seen->bytes[i][0] == slots[i].seed && seen->bytes[i][1] == slots[i].t && seen->bytes[i][2] == 255);
        TRUE(seen->number[i] == slots[i].seed % 8);
        OK(rlay_vector_agent_observation_value(agent, (uint32_t)i, &value));
        OK(rlay_value_item(value, 1, &number));
        OK(rlay_value_as_int(number, &x));
        TRUE(x == slots[i].seed % 8);
    }
}

/* Resets the slots whose episodes have ended. */
static void reset_ended(rlay_VectorAgent *agent, Slot *slots) {
    uint8_t mask[ENVS], any = 0;
    rlay_VectorStep first;
    int i;
    for (i = 0; i < ENVS; i++) {
        mask[i] = slots[i].is_over;
        any |= mask[i];
        if (mask[i]) {
            slots[i].t = 0;
            slots[i].is_over = false;
        }
    }
    if (!any)
        return;
    OK(rlay_vector_agent_reset(agent, NULL, mask, ENVS, NULL, &first));
    check_rows(agent, &first, slots);
}

static void check_info(const rlay_Value *info, bool has_steps, int64_t steps) {
    const rlay_Value *found;
    int64_t x;
    EXPECT(rlay_value_get(info, TEXT("steps"), &found), has_steps ? RLAY_OK : RLAY_NOT_FOUND);
    if (has_steps) {
        OK(rlay_value_as_int(found, &x));
        TRUE(x == steps);
    }
}

static void check_final(rlay_VectorAgent *agent, uint32_t index, uint32_t slot, const Slot *ended) {
    rlay_Final end;
    OK(rlay_vector_agent_final(agent, index, &end));
    TRUE(end.slot == slot && end.observation_length == 24 && end.observation_value == NULL);
    TRUE(end.observation[0] == ended->seed && end.observation[1] == ended->t && end.observation[2] == 255);
    check_info(end.info, true, ended->t);
}

/* One step, and what it is to bring. Actions are values now and then. */
static void step(rlay_VectorAgent *agent, Slot *slots, int mode, int number) {
    Actions actions;
    rlay_Value *values = rlay_value_tuple();
    rlay_VectorStep next;
    Slot before[ENVS];
    const rlay_Value *info;
    uint32_t finals = 0;
    int i;
    if (mode == RLAY_AUTORESET_DISABLED)
        reset_ended(agent, slots);
    memset(&actions, 0xff, sizeof actions); /* padding does not count */
    for (i = 0; i < ENVS; i++) {
        actions.action[i] = (i + number) % 3;
        actions.is_numpy[i] = 1;
        OK(rlay_value_append(values, rlay_value_int(actions.action[i])));
        before[i] = slots[i];
        slots[i].t = slots[i].is_over ? 0 : (uint8_t)(slots[i].t + 1);
        slots[i].is_over = is_over(&slots[i]);
    }
    if (number % 5 == 4)
        OK(rlay_vector_agent_step_value(agent, values, &next));
    else
        OK(rlay_vector_agent_step(agent, &actions, sizeof actions, &next));
    rlay_value_free(values);
    for (i = 0; i < ENVS; i++) {
        TRUE(next.terminations[i] == slots[i].is_over && !next.truncations[i]);
        TRUE(next.rewards[i] == (before[i].is_over ? 0 : (double)((i + number) % 3) + 0.5));
        OK(rlay_vector_agent_info(agent, (uint32_t)i, &info));
        check_info(info, slots[i].is_over && mode != RLAY_AUTORESET_SAME_STEP, slots[i].t);
        if (slots[i].is_over && mode == RLAY_AUTORESET_SAME_STEP) {
            check_final(agent, finals++, (uint32_t)i, &slots[i]);
            slots[i].t = 0;
            slots[i].is_over = false;
        }
    }
    TRUE(next.final_count == finals);
    check_rows(agent, &next, slots);
}

int main(int argc, char **argv) {
    rlay_Options *options = rlay_options_new();
    rlay_VectorAgent *agent;
    rlay_VectorStep first;
    Slot slots[ENVS];
    const uint64_t seed = 10;
    const int mode = argc > 2 ? atoi(argv[2]) : 0;
    int i;
    TRUE(argc == 3);
    OK(rlay_options_set_num_envs(options, ENVS));
    OK(rlay_options_set_autoreset_mode(options, (uint32_t)mode));
    OK(rlay_options_set_connect_timeout(options, 60));
    OK(rlay_vector_agent_connect(argv[1], strlen(argv[1]), options, &agent));
    rlay_options_free(options);
    check_spaces(agent);
    OK(rlay_vector_agent_reset(agent, &seed, NULL, 0, NULL, &first));
    TRUE(first.final_count == 0);
    for (i = 0; i < ENVS; i++) {
        slots[i].seed = (uint8_t)(seed + (uint64_t)i);
        slots[i].t = 0;
        slots[i].is_over = false;
    }
    check_rows(agent, &first, slots);
    for (i = 0; i < STEPS; i++)
        step(agent, slots, mode, i);
    OK(rlay_vector_agent_close(agent));
    puts("the learner has played with all of them");
    return 0;
}
