/* Drift: the first environment of sdk/tests/GAME.md. */
#ifndef DRIFT_H
#define DRIFT_H

#include <rlay.h>

typedef struct {
    uint64_t state; /* of the generator */
    long t;
    double x, v;
    int64_t fuel;
    uint8_t board[64];
    int64_t dials[2];
    int8_t lights[4];
} Drift;

/* An observation in the packed form: the leaves of the space, each at a multiple of 8 bytes. */
typedef struct {
    uint8_t board[64];
    int64_t dials[2];
    rlay_Discrete fuel;
    int8_t lights[8]; /* four, and four of padding */
    double position[2];
} DriftObservation;

rlay_Spec *drift_spec(void);
void drift_new(Drift *drift);
void drift_seed(Drift *drift, uint64_t seed);
void drift_reset(Drift *drift);
void drift_step(Drift *drift, int64_t action);
void drift_observe(const Drift *drift, DriftObservation *observation);
double drift_reward(const Drift *drift);
bool drift_is_over(const Drift *drift);
rlay_Value *drift_info(const Drift *drift);
/* A frame in a render mode of so many bytes. */
rlay_Value *drift_frame(const Drift *drift, const char *mode, size_t length);

#endif
