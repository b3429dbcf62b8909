/* Drift: its rules, its spaces, and what it shows. */
#include "drift.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint32_t next(Drift *drift) {
    const uint64_t old = drift->state;
    const uint32_t x = (uint32_t)(((old >> 18) ^ old) >> 27), r = (uint32_t)(old >> 59);
    drift->state = old * 6364136223846793005u + 109u;
    return (x >> r) | (x << ((32u - r) & 31u));
}

void drift_seed(Drift *drift, uint64_t seed) {
    drift->state = 0;
    next(drift);
    drift->state += seed;
    next(drift);
}

void drift_new(Drift *drift) {
    memset(drift, 0, sizeof *drift);
    drift_seed(drift, 0);
}

static void lamps(Drift *drift) {
    uint32_t n;
    int i;
    drift->dials[0] = drift->t % 3;
    drift->dials[1] = next(drift) % 5;
    n = next(drift) & 15;
    for (i = 0; i < 4; i++)
        drift->lights[i] = (int8_t)((n >> i) & 1);
}

void drift_reset(Drift *drift) {
    int i;
    drift->t = 0;
    drift->x = next(drift) / 2147483648.0 - 1;
    drift->v = 0;
    drift->fuel = 20 + next(drift) % 12;
    for (i = 0; i < 64; i++)
        drift->board[i] = (uint8_t)(next(drift) & 255);
    lamps(drift);
}

void drift_step(Drift *drift, int64_t action) {
    uint32_t cell;
    drift->t++;
    drift->v = drift->v * 0.9375 + (double)(action - 1) * 0.0625 + (next(drift) / 4294967296.0 - 0.5) * 0.03125;
    drift->x = drift->x + drift->v;
    if (action != 1 && drift->fuel > 0)
        drift->fuel--;
    cell = next(drift) % 64;
    drift->board[cell] = (uint8_t)(next(drift) & 255);
    lamps(drift);
}

void drift_observe(const Drift *drift, DriftObservation *observation) {
    memset(observation, 0, sizeof *observation);
    memcpy(observation->board, drift->board, sizeof drift->board);
    memcpy(observation->dials, drift->dials, sizeof drift->dials);
    observation->fuel.value = drift->fuel;
    memcpy(observation->lights, drift->lights, sizeof drift->lights);
    observation->position[0] = drift->x;
    observation->position[1] = drift->v;
}

double drift_reward(const Drift *drift) { return 1 - drift->x * drift->x; }

bool drift_is_over(const Drift *drift) { return drift->x > 2 || drift->x < -2 || drift->fuel == 0; }

rlay_Value *drift_info(const Drift *drift) {
    static const char name[] = "drift \xe2\x80\x93 \xc3\xa9\xe6\xbc\xa2\xf0\x9f\x8e\xb2";
    rlay_Value *info = rlay_value_dict();
    rlay_value_set(info, "t", 1, rlay_value_int(drift->t));
    rlay_value_set(info, "speed", 5, rlay_value_float(fabs(drift->v)));
    rlay_value_set(info, "far", 3, rlay_value_bool(drift->x > 1 || drift->x < -1));
    rlay_value_set(info, "name", 4, rlay_value_str(name, sizeof name - 1));
    return info;
}

rlay_Value *drift_frame(const Drift *drift, const char *mode, size_t length) {
    static const uint64_t shape[3] = {8, 8, 3};
    uint8_t pixels[64 * 3];
    int i;
    if (length == 4 && memcmp(mode, "ansi", 4) == 0) {
        char text[32];
        const int size = snprintf(text, sizeof text, "t=%ld", drift->t);
        return rlay_value_str(text, (size_t)size);
    }
    for (i = 0; i < 64; i++) {
        pixels[3 * i] = drift->board[i];
        pixels[3 * i + 1] = (uint8_t)(255 - drift->board[i]);
        pixels[3 * i + 2] = (uint8_t)(drift->t & 255);
    }
    return rlay_value_array(RLAY_UINT8, shape, 3, pixels, sizeof pixels);
}

rlay_Spec *drift_spec(void) {
    static const uint64_t board[2] = {8, 8}, position[1] = {2};
    static const int64_t dials[2] = {3, 5};
    rlay_Space *observations = rlay_space_dict();
    rlay_Value *modes = rlay_value_list(), *metadata = rlay_value_dict(), *details = rlay_value_dict();
    rlay_Spec *spec;
    rlay_space_set(observations, "board", 5, rlay_space_box(RLAY_UINT8, board, 2, 0, 255));
    rlay_space_set(observations, "dials", 5, rlay_space_multi_discrete(dials, NULL, 2));
    rlay_space_set(observations, "fuel", 4, rlay_space_discrete(32, 0));
    rlay_space_set(observations, "lights", 6, rlay_space_multi_binary(4));
    rlay_space_set(observations, "position", 8, rlay_space_box(RLAY_FLOAT64, position, 1, -INFINITY, INFINITY));
    spec = rlay_spec_new(observations, rlay_space_discrete(3, 0));
    rlay_value_append(modes, rlay_value_str("rgb_array", 9));
    rlay_value_append(modes, rlay_value_str("ansi", 4));
    rlay_value_set(metadata, "render_modes", 12, modes);
    rlay_value_set(metadata, "render_fps", 10, rlay_value_int(25));
    rlay_spec_set_metadata(spec, metadata);
    rlay_value_set(details, "reward_threshold", 16, rlay_value_float(60.0));
    rlay_value_set(details, "nondeterministic", 16, rlay_value_bool(false));
    rlay_value_set(details, "max_episode_steps", 17, rlay_value_int(100));
    rlay_spec_set_details(spec, details);
    return spec;
}
