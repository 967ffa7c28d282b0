// Logarithms, exponentials and powers of float64 that give the same bits on every processor and with every C library
// (a library's own differ in the last bit, one choice of instructions from another).
#pragma once
#include <stdint.h>

/// Natural logarithm of a positive, normal x. Error below 1e-15·(1 + |log x|).
double exact_log(double x);
/// log(1 + x) for x > −½, error below 2e-15·|x| + 1e-16 where |x| < 1.
double exact_log1p(double x);

/// e^x: +0 up to −708, infinity beyond 709, NaN of NaN. Relative error below 1e-15.
double exact_exp(double x);
/// e^x − 1, relative error below 1e-15 near 0.
double exact_expm1(double x);

/// base^exponent of a positive base. Relative error below 2e-15·(1 + |log result|).
double exact_power(double base, double exponent);
