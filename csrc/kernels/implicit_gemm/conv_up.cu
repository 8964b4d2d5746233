#include "kernels/implicit_gemm/conv_up.h"

#include "kernels/implicit_gemm/conv_act.h"

namespace stylemap {
namespace {

using UpTile = Tile144;

// Column of the product that is tap `tap` of channel `channel`: a tile has all taps of kUpChannels
// channels, so that the columns that a thread copies are a constant number of taps apart.
SM_HOST_DEVICE int up_column(int channel, int tap) {
  return channel / kUpChannels * UpTile::kColumns + tap * kUpChannels + channel % kUpChannels;
}

template <class T>
struct TapWeights {
  const ImplicitGemm& g;  // of by_taps

  __device__ int count() const { return g.columns; }
  __device__ int64_t next(int columns) const {
    return int64_t{columns / kUpChannels} * g.in_channels;
  }
  __device__ const T* at(int column) const {
    const int group = column / UpTile::kColumns, place = column % UpTile::kColumns;
    const int channel = group * kUpChannels + place % kUpChannels, tap = place / kUpChannels;
    return static_cast<const T*>(g.weight) + (int64_t{channel} * kUpTaps + tap) * g.in_channels;
  }
};

// The product of input pixels and taps, as of a convolution of 1 x 1 with nine times the columns.
ImplicitGemm by_taps(const ImplicitGemm& g) {
  ImplicitGemm product = g;
  product.columns = kUpTaps * g.columns;
  product.size = 1;
  product.stride = 1;
  product.padding = 0;
  product.transposed = false;
  return product;
}

GemmPlan plan_by_taps(const ImplicitGemm& g) {
  const ImplicitGemm product = by_taps(g);
  return gemm_plan(product, product.columns, {kShape144, choose_up_parts(g)});
}

template <class T>
__global__ void __launch_bounds__(UpTile::kThreads, 2)
    conv_up(const __grid_constant__ ConvActParams p, const __grid_constant__ GemmPlan plan) {
  static_assert(UpTile::kColumns == kUpTaps * kUpChannels, "a tile has all taps of its channels");
  static_assert(UpTile::kRowsPerCopy % kUpChannels == 0, "a thread's columns are of one channel");
  using Shared = TileShared<T, UpTile, UpTile::kColumns>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const BlockTile tile = block_tile<UpTile>(g, plan, blockIdx.x);
  shared.find_rows(g, plan, tile);
  float sum[UpTile::kM][UpTile::kN][4] = {};
  multiply_tile<T, UpTile>(g, plan, tile, shared.input, TapWeights<T>{g}, shared.stages, sum);
  store_sums<UpTile>(g.sums, plan, tile, sum);
}

// A thread has kJoinWidth channels of a cell of 2 x 2 outputs, of which the last in a line and the
// last line have one. Output 2 m + k takes input m times tap k: of an even one, taps 0 and 2 and
// inputs m and m - 1.
template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    conv_up_join(const __grid_constant__ ConvActParams p, const __grid_constant__ GemmPlan plan,
                 const __grid_constant__ JoinPlan join_plan, int parts) {
  wait_for_earlier_kernels();
  const ImplicitGemm& g = p.gemm;
  const JoinPlace place = join_place(join_plan, blockIdx.x);
  if (place.column >= g.columns || place.row >= plan.rows) return;
  const OutPixel cell = out_pixel(plan, 0, place.row);
  const int64_t columns = int64_t{kUpTaps} * g.columns, line = g.width * columns;
  const int64_t stride = g.samples * g.height * line;
  const float* from = g.sums + up_column(place.column, 0) +
                      (int64_t{place.sample} * g.height + cell.y) * line + cell.x * columns;
  float value[2][2][kJoinWidth] = {};
#pragma unroll 2
  for (int part = 0; part < parts; ++part, from += stride) {
    float4 product[kUpTaps];
#pragma unroll
    for (int tap = 0; tap < kUpTaps; ++tap) {
      const int dy = tap / 3 / 2, dx = tap % 3 / 2;  // inputs m - dy, n - dx
      const bool inside = static_cast<uint32_t>(cell.y - dy) < static_cast<uint32_t>(g.height) &&
                          static_cast<uint32_t>(cell.x - dx) < static_cast<uint32_t>(g.width);
      const float* const at = from - dy * line - dx * columns + tap * kUpChannels;
      product[tap] = inside ? *reinterpret_cast<const float4*>(at) : float4{0, 0, 0, 0};
    }
#pragma unroll
    for (int tap = 0; tap < kUpTaps; ++tap) add(value[tap / 3 % 2][tap % 3 % 2], product[tap]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int y = 2 * cell.y + i / 2, x = 2 * cell.x + i % 2;
    if (y >= plan.out_height || x >= plan.out_width) continue;
    float (&result)[kJoinWidth] = value[i / 2][i % 2];
    activate<T>(p, place.column, result);
    const int64_t pixel = (int64_t{place.sample} * plan.out_height + y) * plan.out_width + x;
    store_pack<kJoinWidth>(static_cast<T*>(p.y) + pixel * g.columns + place.column, result);
  }
}

}  // namespace

int64_t conv_up_workspace(const ImplicitGemm& g) {
  const GemmPlan plan = plan_by_taps(g);
  return slice_count(plan) * g.samples * plan.rows * plan.columns;
}

cudaError_t conv_up_cuda(const ConvActParams& p, cudaStream_t stream) {
  const auto run = [&](auto type) {
    using T = typename decltype(type)::type;
    using Shared = TileShared<T, UpTile, UpTile::kColumns>;
    ConvActParams product = p;
    product.gemm = by_taps(p.gemm);
    const GemmPlan plan = plan_by_taps(p.gemm);
    const cudaError_t error = launch_tiles<UpTile, Shared>(conv_up<T>, product, plan, stream);
    if (error != cudaSuccess) return error;
    const GemmPlan cells = gemm_plan(p.gemm, p.gemm.columns, {kShape128, 1});
    return launch_join(conv_up_join<T>, p, cells, stream, static_cast<int>(slice_count(plan)));
  };
  return p.gemm.dtype == DType::kFloat16 ? run(TypeTag<float16>{}) : run(TypeTag<bfloat16>{});
}

}  // namespace stylemap
