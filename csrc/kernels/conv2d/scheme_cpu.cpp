#include "kernels/conv2d/scheme.h"

#include "kernels/conv2d/toom.h"

namespace stylemap {
namespace {

template <int Weights>
Scheme start(int step, const double (&g)[Weights][3]) {
  Scheme s{};
  s.step = step;
  s.weights = Weights;
  for (int i = 0; i < Weights; ++i)
    for (int tap = 0; tap < 3; ++tap) s.g[i][tap] = g[i][tap];
  return s;
}

// Every input plane and every weight is used once: (M + 2)^2 planes of depth 1.
template <int M>
Scheme plain() {
  constexpr int N = M + 2;
  Scheme s = start(M, kToom<M>.g);
  s.weight_rows = s.input_planes = s.products = N * N;
  for (int plane = 0; plane < N * N; ++plane) {
    s.weight_row[plane / N][plane % N] = plane;
    s.input_start[plane] = plane;
    s.product[plane] = {plane, plane};
  }
  s.input_start[N * N] = N * N;
  s.groups = N;
  for (int y = 0; y < N; ++y) s.group[y] = {y, 1, y * N, N, y * N, N};
  return s;
}

Scheme up() {
  // Inputs x0, x0 + x1, x1; weights w0, w0 + w2, w2, w1; products in the order of t0, t2, t4, t1,
  // t3.
  constexpr int input[5] = {0, 1, 2, 0, 2}, weight[5] = {0, 1, 2, 3, 3};
  constexpr double g[4][3] = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}};
  Scheme s = start(2, g);
  s.weight_rows = 16;
  for (int i = 0; i < 16; ++i) s.weight_row[i / 4][i % 4] = i;
  s.input_planes = 9;
  for (int i = 0; i <= 9; ++i) s.input_start[i] = i;
  s.products = 25;
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 5; ++x)
      s.product[y * 5 + x] = {input[y] * 3 + input[x], weight[y] * 4 + weight[x]};
  s.groups = 4;  // t1 and t3 share w1
  for (int y = 0; y < 4; ++y) s.group[y] = {y, 1, y * 4, 4, y * 5, y == 3 ? 10 : 5};
  return s;
}

Scheme down() {
  // Along an axis: plane 0 holds b0 - b2, b1; plane 1 holds b2; plane 2 holds b4 - b2, b3.
  constexpr int plane[5] = {0, 0, 1, 2, 2}, part[5] = {0, 1, 0, 0, 1}, parts[3] = {2, 1, 2};
  constexpr double g[5][3] = {{1, 0, 0}, {0, 1, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}};
  Scheme s = start(2, g);
  s.weight_rows = 25;
  s.input_planes = s.products = 9;
  for (int i = 0; i < 9; ++i) {
    s.input_start[i + 1] = s.input_start[i] + parts[i / 3] * parts[i % 3];
    s.product[i] = {i, s.input_start[i]};
  }
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 5; ++x)
      s.weight_row[y][x] =
          s.input_start[plane[y] * 3 + plane[x]] + part[y] * parts[plane[x]] + part[x];
  s.groups = 3;
  constexpr int weight[3] = {0, 2, 3};  // the first row of G of a plane
  for (int y = 0; y < 3; ++y) {
    const int row = s.input_start[y * 3], rows = s.input_start[y * 3 + 3] - row;
    s.group[y] = {weight[y], parts[y], row, rows, y * 3, 3};
  }
  return s;
}

}  // namespace

const Scheme& conv2d_scheme(ConvMode mode, int tile) {
  static const Scheme plain2 = plain<2>(), plain4 = plain<4>(), plain6 = plain<6>();
  static const Scheme up2 = up(), down2 = down();
  if (mode == ConvMode::kUp) return up2;
  if (mode == ConvMode::kDown) return down2;
  return tile == 2 ? plain2 : tile == 4 ? plain4 : plain6;
}

int conv2d_weight_rows(ConvMode mode, int tile) { return conv2d_scheme(mode, tile).weight_rows; }

}  // namespace stylemap
