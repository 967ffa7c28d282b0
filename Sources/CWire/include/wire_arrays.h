// Range checks over the arrays of a decoded message.
#ifndef ROOKERY_WIRE_ARRAYS_H
#define ROOKERY_WIRE_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

// Index of the first value that is infinite or not a number; `count` when all are finite.
size_t wire_first_not_finite_float(const float *values, size_t count);
size_t wire_first_not_finite_double(const double *values, size_t count);

// Index of the first value above `limit`; `count` when there is none.
size_t wire_first_above(const uint32_t *values, size_t count, uint32_t limit);

#endif
