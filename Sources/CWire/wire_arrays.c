// Range checks over the arrays of a decoded message: in C because a group has a hundred thousand tokens.
#include "wire_arrays.h"

#include <string.h>

size_t wire_first_not_finite_float(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u) return i;
    }
    return count;
}

size_t wire_first_not_finite_double(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if ((bits & 0x7FF0000000000000u) == 0x7FF0000000000000u) return i;
    }
    return count;
}

size_t wire_first_above(const uint32_t *values, size_t count, uint32_t limit) {
    for (size_t i = 0; i < count; i++) {
        if (values[i] > limit) return i;
    }
    return count;
}
