// Functions of one float64. Only IEEE operations in one order; fma and ldexp are exact wherever they run.
#include "functions.h"
#include "functions_parts.h"
#include <math.h>

// log z = 2 artanh(f), f = (z − 1)/(z + 1), |f| ≤ 0.1716, by its series to f^21 (remainder below 1e-18).
double exact_log(double x) {
    int64_t e;
    const double z = significand_near_one(x, &e);
    double f = (z - 1) / (z + 1), s = f * f, series = 0;
    for (int power = 21; power >= 3; power -= 2) series = (series + 1.0 / power) * s;
    return (double)e * 0x1.62e42fefa39efp-1 + 2 * (f + f * series);
}

/// x = n·ln 2 + r, |r| ≤ ½ ln 2.
static double remainder_of_powers(double x, double *n) {
    *n = nearest(x * 0x1.71547652b82fep0);
    return fma(-*n, 0x1.abc9e3b39803fp-56, fma(-*n, 0x1.62e42fefa39efp-1, x));
}

// Series cut below 2^-55 of their value.
double exact_exp(double x) {
    if (!(x > -708)) return x <= -708 ? 0 : x;
    if (x > 709) return INFINITY;
    double n, e = 1;
    const double r = remainder_of_powers(x, &n);
    for (int i = 15; i >= 1; i--) e = e * r / i + 1;
    return ldexp(e, (int)n);
}

double exact_expm1(double x) {
    if (x < -50 || x > 700 || x != x) return exact_exp(x) - 1;
    double n, e = 1;
    const double r = remainder_of_powers(x, &n);
    for (int i = 16; i >= 2; i--) e = e * r / i + 1;
    const double less = e * r;  // e^r − 1, with all its digits
    return n == 0 ? less : ldexp(less, (int)n) + (ldexp(1, (int)n) - 1);
}

// What 1 + x rounded away is put back by the slope of the logarithm there.
double exact_log1p(double x) {
    const double sum = 1 + x;
    return exact_log(sum) + (x - (sum - 1)) / sum;
}

double exact_power(double base, double exponent) { return exact_exp(exponent * exact_log(base)); }
