// The register-blocked product of kernels.h. Included inside the namespace of one instruction set.

inline int smaller(int a, int b) { return a < b ? a : b; }

template <bool Pairs>
inline auto load_weights(const uint32_t* from) {
  if constexpr (Pairs)
    return pairs_load(from);
  else
    return vload(reinterpret_cast<const float*>(from));
}

#if defined(SM_GEMM_BY_LANES)
#include "kernels/conv2d/gemm_lanes_impl.h"
#else
#include "kernels/conv2d/gemm_broadcast_impl.h"
#endif

#if defined(SM_HAS_AMX)
#include "kernels/conv2d/gemm_amx_impl.h"
#endif

template <bool Pairs, int Rows>
inline void gemm_last_rows(const GemmArgs& args, int row, int rows) {
  if constexpr (Rows > 0) {
    if (rows == Rows)
      gemm_rows<Rows, Pairs>(args, row);
    else
      gemm_last_rows<Pairs, Rows - 1>(args, row, rows);
  }
}

template <bool Pairs>
void begin_gemm([[maybe_unused]] int rows, [[maybe_unused]] int64_t words) {
#if defined(SM_HAS_AMX)
  if constexpr (Pairs) configure_tiles(smaller(rows, kTileRows), tile_depth(words));
#endif
}

template <bool Pairs>
void end_gemm() {
#if defined(SM_HAS_AMX)
  if constexpr (Pairs) _tile_release();
#endif
}

// Rows in groups of nearly equal size, none above kMaxRows.
template <bool Pairs>
void gemm(const GemmArgs& args) {
#if defined(SM_HAS_AMX)
  if constexpr (Pairs) return gemm_amx(args);
#endif
  const int groups = (args.rows + kMaxRows - 1) / kMaxRows;
  for (int group = 0, row = 0; group < groups; ++group) {
    const int rows = (args.rows - row) / (groups - group);
    gemm_last_rows<Pairs, kMaxRows>(args, row, rows);
    row += rows;
  }
}
