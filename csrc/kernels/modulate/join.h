// Second level of the grid-wide reductions of modulate: the partials of a statistic, joined in
// order.
#pragma once

#include "kernels/modulate/partials.h"

namespace stylemap {

constexpr int kJoinThreads = 128;

// Block s joins the partials of the s-th statistic and hands the result to finish(s, result).
template <class Partial, class Finish>
__global__ void __launch_bounds__(kJoinThreads)
    join_partials(const Partial* __restrict__ partials, PartialGrid grid, Finish finish) {
  wait_for_earlier_kernels();
  const int64_t s = blockIdx.x;
  const int64_t first = grid.shape.groups == 0 ? 0 : s / grid.statistics * grid.chunks;
  const int64_t rows = grid.shape.groups == 0 ? grid.rows() : grid.chunks;
  Partial value{};
  for (int64_t row = threadIdx.x; row < rows; row += kJoinThreads)
    value = join(value, partials[(first + row) * grid.statistics + s % grid.statistics]);
  value = block_join<kJoinThreads>(value);
  if (threadIdx.x == 0) finish(s, value);
}

template <class Partial, class Finish>
cudaError_t launch_join(const Partial* partials, const PartialGrid& grid, const Finish& finish,
                        cudaStream_t stream) {
  const int64_t blocks = grid.shape.statistics();
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(join_partials<Partial, Finish>, dim3(static_cast<unsigned>(blocks)),
                dim3(kJoinThreads), 0, stream, partials, grid, finish);
}

}  // namespace stylemap
