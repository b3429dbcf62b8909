/* Echo: the second environment of sdk/tests/GAME.md. */
#ifndef ECHO_H
#define ECHO_H

#include <rlay.h>

#define ECHO_CASES 18

/* The space of a case, and what a reset observes there. */
rlay_Space *echo_space(int64_t which);
rlay_Value *echo_zero(int64_t which);

#endif
