/* What the programs of the tests assert with. */
#ifndef CHECK_H
#define CHECK_H

#include <rlay.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPECT(call, wanted)                                                                                           \
    do {                                                                                                               \
        const int status_ = (int)(call), wanted_ = (wanted);                                                           \
        if (status_ != wanted_) {                                                                                      \
            fprintf(stderr, "%s:%d: %s is %s, not %s: %s\n", __FILE__, __LINE__, #call, rlay_status_name(status_),      \
                    rlay_status_name(wanted_), rlay_last_error(NULL, NULL));                                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define OK(call) EXPECT(call, RLAY_OK)

#define TRUE(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #what);                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A text and its length. */
#define TEXT(text) (text), (sizeof(text) - 1)

#endif
