/* Echo: a space of every class, and the zero of each. */
#include "echo.h"

#include <math.h>
#include <string.h>

static rlay_Space *box(uint32_t dtype, uint64_t a, uint64_t b, uint64_t c, size_t ndim, double low, double high) {
    uint64_t shape[3];
    shape[0] = a;
    shape[1] = b;
    shape[2] = c;
    return rlay_space_box(dtype, shape, ndim, low, high);
}

static rlay_Space *joined(rlay_Space *space, rlay_Space *first, rlay_Space *second) {
    rlay_space_append(space, first);
    rlay_space_append(space, second);
    return space;
}

rlay_Space *echo_space(int64_t which) {
    static const uint64_t binary[2] = {2, 3}, pair[1] = {2};
    static const int64_t nvec[3] = {3, 5, 2}, start[3] = {0, -1, 7};
    static const char charset[] = "a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x8e\xb2 b";
    const float low[2] = {-1, -INFINITY}, high[2] = {1, 5};
    rlay_Space *dict;
    switch (which) {
    case 0: return box(RLAY_FLOAT32, 2, 3, 0, 2, -1, 1);
    case 1: return box(RLAY_UINT8, 4, 5, 3, 3, 0, 255);
    case 2: return box(RLAY_FLOAT64, 0, 0, 0, 0, -INFINITY, INFINITY);
    case 3: return rlay_space_discrete(5, -2);
    case 4: return rlay_space_multi_binary_of(binary, 2);
    case 5: return rlay_space_multi_discrete(nvec, start, 3);
    case 6: return rlay_space_text(1, 12, charset, sizeof charset - 1);
    case 7: return joined(rlay_space_tuple(), rlay_space_discrete(3, 0), box(RLAY_FLOAT64, 2, 0, 0, 1, 0, 1));
    case 8:
        dict = rlay_space_dict();
        rlay_space_set(dict, "a", 1, rlay_space_discrete(2, 0));
        rlay_space_set(dict, "b", 1,
                       joined(rlay_space_tuple(), rlay_space_multi_binary(3), rlay_space_text(1, 4, NULL, 0)));
        return dict;
    case 9: return rlay_space_sequence(box(RLAY_FLOAT32, 2, 0, 0, 1, 0, 1), false);
    case 10: return rlay_space_sequence(rlay_space_discrete(4, 0), true);
    case 11: return rlay_space_graph(box(RLAY_FLOAT32, 3, 0, 0, 1, -1, 1), rlay_space_discrete(4, 0));
    case 12: return joined(rlay_space_one_of(), rlay_space_discrete(3, 0), box(RLAY_FLOAT32, 2, 0, 0, 1, -1, 1));
    case 13: return box(RLAY_FLOAT16, 3, 0, 0, 1, -1, 1);
    case 14: return box(RLAY_BOOL, 2, 0, 0, 1, 0, 1);
    case 15: return box(RLAY_INT64, 2, 0, 0, 1, -9223372036854775808.0, 9223372036854775808.0);
    case 16:
        return rlay_space_box_each(RLAY_FLOAT32, pair, 1, (const uint8_t *)low, (const uint8_t *)high, sizeof low);
    default: return rlay_space_graph(box(RLAY_FLOAT64, 2, 0, 0, 1, -1, 1), NULL);
    }
}

static rlay_Value *zeros(uint32_t dtype, uint64_t a, uint64_t b, uint64_t c, size_t ndim, size_t size) {
    static const uint8_t data[64];
    uint64_t shape[3];
    shape[0] = a;
    shape[1] = b;
    shape[2] = c;
    return rlay_value_array(dtype, shape, ndim, data, size);
}

static rlay_Value *both(rlay_Value *first, rlay_Value *second) {
    rlay_Value *tuple = rlay_value_tuple();
    rlay_value_append(tuple, first);
    rlay_value_append(tuple, second);
    return tuple;
}

rlay_Value *echo_zero(int64_t which) {
    static const uint64_t three[1] = {3};
    static const int64_t start[3] = {0, -1, 7}, zero = 0;
    rlay_Value *dict;
    switch (which) {
    case 0: return zeros(RLAY_FLOAT32, 2, 3, 0, 2, 24);
    case 1: return zeros(RLAY_UINT8, 4, 5, 3, 3, 60);
    case 2: return zeros(RLAY_FLOAT64, 0, 0, 0, 0, 8);
    case 3: return rlay_value_int(-2);
    case 4: return zeros(RLAY_INT8, 2, 3, 0, 2, 6);
    case 5: return rlay_value_array(RLAY_INT64, three, 1, (const uint8_t *)start, sizeof start);
    case 6: return rlay_value_str("a", 1);
    case 7: return both(rlay_value_int(0), zeros(RLAY_FLOAT64, 2, 0, 0, 1, 16));
    case 8:
        dict = rlay_value_dict();
        rlay_value_set(dict, "a", 1, rlay_value_int(0));
        rlay_value_set(dict, "b", 1, both(zeros(RLAY_INT8, 3, 0, 0, 1, 3), rlay_value_str("0", 1)));
        return dict;
    case 9: return rlay_value_tuple();
    case 10: return zeros(RLAY_INT64, 0, 0, 0, 1, 0);
    case 11: return rlay_value_graph(zeros(RLAY_FLOAT32, 1, 3, 0, 2, 12), NULL, NULL);
    case 12: return both(rlay_value_scalar(RLAY_INT64, (const uint8_t *)&zero, sizeof zero), rlay_value_int(0));
    case 13: return zeros(RLAY_FLOAT16, 3, 0, 0, 1, 6);
    case 14: return zeros(RLAY_BOOL, 2, 0, 0, 1, 2);
    case 15: return zeros(RLAY_INT64, 2, 0, 0, 1, 16);
    case 16: return zeros(RLAY_FLOAT32, 2, 0, 0, 1, 8);
    default: return rlay_value_graph(zeros(RLAY_FLOAT64, 1, 2, 0, 2, 16), NULL, NULL);
    }
}
