// The tables of the Winograd (Toom-Cook) transforms F(M x M, 3 x 3), M = 2, 4, 6.
//
// A line of N = M + 2 inputs d gives M outputs of a 3-tap correlation with g:
//   y = A^T [ (G g) * (B^T d) ],   one product for every point x in {0, +-a_0, +-a_1, ...,
//   infinity}.
// With P(z) = prod (z - a_j^2) and Q_j(z) = P(z) / (z - a_j^2), the rows of B^T are the
// coefficients of
//   0: P(x^2)    +-a_j: x (x +- a_j) Q_j(x^2)    infinity: x P(x^2)
// and everything that would make them fractions is put into G, which is applied once, in double.
//
// The points decide the rounding error. Over 128 channels of white noise F(4) has 1.0e-6 (float32)
// and 1.1e-2 (bfloat16 products) with the points below, against 2.3e-6 and 2.5e-2 with the usual
// 1, 2; the squares and products of 21/32 and 3/2 are exact in float32, so B^T is exact.
#pragma once

namespace stylemap {

template <int M>
struct ToomPoints;
template <>
struct ToomPoints<2> {
  static constexpr double value[1] = {1.0};
};
template <>
struct ToomPoints<4> {
  static constexpr double value[2] = {0.65625, 1.5};
};
template <>
struct ToomPoints<6> {
  static constexpr double value[3] = {0.5, 1.0, 2.0};
};

template <int M>
struct ToomTable {
  static constexpr int kPairs = M / 2;
  static constexpr int kSize = M + 2;
  double p[kPairs + 1];      // coefficients of P
  double q[kPairs][kPairs];  // coefficients of Q_j
  double a[kPairs];          // the points
  double power[kPairs][M];   // a_j^i: the columns of A^T
  double g[kSize][3];        // G: rows 0, +a_0, -a_0, +a_1, ..., infinity
};

template <int M>
constexpr ToomTable<M> make_toom_table() {
  ToomTable<M> t{};
  constexpr int pairs = ToomTable<M>::kPairs;
  constexpr int last = ToomTable<M>::kSize - 1;
  for (int skip = -1; skip < pairs; ++skip) {
    double c[pairs + 1] = {1.0};
    int degree = 0;
    for (int j = 0; j < pairs; ++j) {
      if (j == skip) continue;
      const double root = ToomPoints<M>::value[j] * ToomPoints<M>::value[j];
      ++degree;
      for (int k = degree; k >= 0; --k) c[k] = (k > 0 ? c[k - 1] : 0.0) - root * c[k];
    }
    for (int k = 0; k <= degree; ++k) {
      if (skip < 0)
        t.p[k] = c[k];
      else
        t.q[skip][k] = c[k];
    }
  }
  t.g[0][0] = 1.0 / t.p[0];
  t.g[last][2] = 1.0;
  for (int j = 0; j < pairs; ++j) {
    const double a = ToomPoints<M>::value[j];
    t.a[j] = a;
    double power = 1.0;
    for (int i = 0; i < M; ++i, power *= a) t.power[j][i] = power;
    double value = 0.0;  // Q_j(a^2)
    for (int k = pairs - 1; k >= 0; --k) value = value * a * a + t.q[j][k];
    for (int sign = 0; sign < 2; ++sign) {
      const double x = sign ? -a : a;
      const double scale = 1.0 / (x * 2.0 * x * value);
      for (int tap = 0; tap < 3; ++tap)
        t.g[1 + 2 * j + sign][tap] = scale * (tap == 0 ? 1.0 : tap == 1 ? x : x * x);
    }
  }
  return t;
}

template <int M>
inline constexpr ToomTable<M> kToom = make_toom_table<M>();

}  // namespace stylemap
