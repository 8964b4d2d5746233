// What the bindings share: checks, memory formats, element types, outputs.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/common/dtype.h"

namespace stylemap {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// How the elements of a dense tensor lie in memory: N, C, H, W or N, H, W, C.
enum class Layout { kContiguous, kChannelsLast };

DType dtype_of(const Tensor& tensor, const char* name);

// The layout of a tensor as it is: a tensor that is dense in both ways (one channel, one pixel)
// counts as contiguous, any other strides as nothing.
std::optional<Layout> layout_of(const Tensor& tensor);

// The tensor itself where it already is in a known layout, otherwise a contiguous copy.
Tensor dense(const Tensor& tensor);

// The tensor itself, or a copy, in the given layout.
Tensor dense(const Tensor& tensor, Layout layout);

// A tensor whose rows (samples, or pixels of a channels_last one) are dense but may lie apart, as
// half the channels of a wider tensor do.
struct Rows {
  Tensor tensor;
  int64_t stride;  // elements from a row to the next
};

// The tensor itself where its rows are dense in the given layout, otherwise a copy.
Rows rows(const Tensor& tensor, Layout layout);

std::vector<int64_t> shape_of(const Tensor& tensor);

// An uninitialised tensor with the dtype and device of `like`, in the given layout.
Tensor new_tensor(const Tensor& like, const std::vector<int64_t>& shape, Layout layout);

// An uninitialised contiguous tensor of another dtype on the device of `like`.
Tensor new_tensor(const Tensor& like, const std::vector<int64_t>& shape, ScalarType dtype);

// An uninitialised tensor with the shape, dtype, device and strides of `like`, which is dense.
Tensor new_like(const Tensor& like);

// float64 for float64, float32 for everything else: the dtype of statistics.
ScalarType compute_dtype(const Tensor& tensor);

// The tensor itself or a copy: contiguous and of the given dtype.
Tensor in_dtype(const Tensor& tensor, ScalarType dtype);

void check_same_kind(const Tensor& tensor, const Tensor& reference, const char* name);
void check_same_shape(const Tensor& tensor, const Tensor& reference, const char* name);

inline const void* data(const Tensor& tensor) { return tensor.const_data_ptr(); }
inline void* mutable_data(const Tensor& tensor) { return tensor.mutable_data_ptr(); }

}  // namespace stylemap
