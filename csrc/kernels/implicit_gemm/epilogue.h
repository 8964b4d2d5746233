// What both epilogues share: the tile in shared memory on its way to memory in 16-byte accesses.
#pragma once

#include "kernels/common/pack.h"
#include "kernels/implicit_gemm/mainloop.h"

namespace stylemap {

template <class T, class Tile, int kColumns>
struct TileShared {
  // The pitch moves each row by four banks: the eight rows and four pairs a warp writes at a time
  // fall into 32 different ones.
  static constexpr int kPitch = kColumns + 8;
  union {
    T stages[Tile::kStages * Tile::kStageElements];
    T out[Tile::kRows * kPitch];
  };
  int rows[Tile::kRows];  // see tile_row

  __device__ void find_rows(const ImplicitGemm& g, const BlockTile& tile) {
    for (int row = threadIdx.x; row < Tile::kRows; row += Tile::kThreads)
      rows[row] = tile_row<Tile>(g, tile, row);
    __syncthreads();
  }

  // Calls move(pixel, column, address in `out`) for every pack of 8 columns, of rows that are a
  // pixel and columns below `columns`.
  template <class Move>
  __device__ __forceinline__ void for_each_pack(int columns, const Move& move) {
    constexpr int kPacks = kColumns / 8;
#pragma unroll 2
    for (int i = threadIdx.x; i < Tile::kRows * kPacks; i += Tile::kThreads) {
      const int row = i / kPacks, column = i % kPacks * 8;
      if (rows[row] >= 0 && column < columns) move(rows[row], column, out + row * kPitch + column);
    }
  }
};

// Row and first column of the pairs of sums that the thread holds in sum[m][n][2 * half].
template <class Tile>
SM_HOST_DEVICE int sum_row(int m, int half, int lane, int warp) {
  return warp / Tile::kWarpsN * Tile::kWarpRows + m * 16 + half * 8 + lane / 4;
}

template <class Tile>
SM_HOST_DEVICE int sum_column(int n, int lane, int warp) {
  return warp % Tile::kWarpsN * Tile::kWarpColumns + n * 8 + lane % 4 * 2;
}

template <class T>
__device__ __forceinline__ void copy_pack(T* to, const T* from) {
  *reinterpret_cast<Pack<T, 8>*>(to) = *reinterpret_cast<const Pack<T, 8>*>(from);
}

// One block per tile of rows and columns.
template <class Tile, class Shared, class Params>
cudaError_t launch_tiles(void (*kernel)(Params), const Params& params, int columns,
                         cudaStream_t stream) {
  const ImplicitGemm& g = params.gemm;
  const int64_t blocks = block_count<Tile>(g, columns);
  // Pixels are counted in 32 bits; elements are not.
  const int64_t in_pixels = int64_t{g.samples} * g.height * g.width;
  const int64_t out_pixels = int64_t{g.samples} * g.out_height() * g.out_width();
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX || in_pixels > INT32_MAX || out_pixels > INT32_MAX)
    return cudaErrorInvalidConfiguration;
  const int bytes = sizeof(Shared);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(Tile::kThreads), bytes, stream,
                params);
}

// Calls function(T tag, Tile tag).
template <class Function>
cudaError_t with_tile(const ImplicitGemm& g, int columns, const Function& function) {
  if (!implicit_gemm_suits(g)) return cudaErrorInvalidValue;
  const bool large = use_large_tile(g, columns);
  const auto with_type = [&](auto type) {
    return large ? function(type, TypeTag<LargeTile>{}) : function(type, TypeTag<SmallTile>{});
  };
  return g.dtype == DType::kFloat16 ? with_type(TypeTag<float16>{})
                                    : with_type(TypeTag<bfloat16>{});
}

}  // namespace stylemap
