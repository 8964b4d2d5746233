// The products of all blocks, by all threads together.
#pragma once

#include "kernels/conv2d/dynamic.h"
#include "kernels/conv2d/layout.h"
#include "kernels/conv2d/scratch.h"

namespace stylemap {

// The rows of U of one group of a block, from its taps.
inline void transform_weights(const ConvKernels& kernels, const Conv2dParams& p,
                              const Layout& layout, int64_t block, const Scheme::Group& group,
                              uint32_t* u) {
  const Scheme& scheme = layout.scheme;
  const int64_t inputs = layout.words * (p.bf16 ? 2 : 1);
  WeightArgs args;
  const int64_t size = p.half ? sizeof(float16) : sizeof(float);
  args.taps = static_cast<const char*>(p.weights) + block * inputs * 9 * kBlock * size;
  args.inputs = inputs;
  args.count = group.weights;
  for (int i = 0; i < group.weights; ++i) {
    const int y = group.weight + i;
    for (int tap = 0; tap < 3; ++tap) args.g[i][tap] = static_cast<float>(scheme.g[y][tap]);
    for (int x = 0; x < scheme.weights; ++x)
      args.u[i][x] = u + (scheme.weight_row[y][x] - group.row) * layout.words * kBlock;
  }
  kernels.weights[kernel_index(p)][p.half ? 2 : p.bf16](args);
}

// v holds `count` tiles, the products of a block are `stride` floats after those of the block
// before.
inline void multiply_blocks(const ConvKernels& kernels, const Conv2dParams& p, const Layout& layout,
                            const uint32_t* v, int64_t count, float* products, int64_t stride) {
  const Scheme& scheme = layout.scheme;
  if (!p.taps) {
    const int64_t tasks = scheme.products * layout.blocks;
    parallel_dynamic(tasks, even_chunk(tasks), [&](int64_t begin, int64_t end) {
      const Multiplying multiplying(kernels, p, layout, count);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t block = i % layout.blocks;
        multiply(kernels, p, layout, v, count, layout.packed_u(p, block), 0,
                 static_cast<int>(i / layout.blocks), products + block * stride);
      }
    });
    return;
  }
  // The groups of a block one after the other: its taps are in the cache.
  parallel_dynamic(scheme.groups * layout.blocks, 1, [&](int64_t begin, int64_t end) {
    const Multiplying multiplying(kernels, p, layout, count);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / scheme.groups;
      const Scheme::Group& group = scheme.group[i % scheme.groups];
      const int64_t words = group.rows * layout.words * kBlock;
      auto* u = static_cast<uint32_t*>(thread_scratch(words * sizeof(uint32_t)));
      transform_weights(kernels, p, layout, block, group, u);
      for (int which = group.product; which < group.product + group.products; ++which)
        multiply(kernels, p, layout, v, count, u, group.row, which, products + block * stride);
    }
  });
}

}  // namespace stylemap
