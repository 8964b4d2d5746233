// raster: draws a display list (kernels/raster/raster.h) into uint8 images and part maps.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <tuple>

#include "kernels/raster/raster.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kShapeColumns = sizeof(stylemap::RasterShape) / sizeof(int32_t);
constexpr int64_t kValueColumns = sizeof(stylemap::RasterValues) / sizeof(float);

void check(const Tensor& tensor, const char* name, ScalarType dtype, const char* dtype_name,
           int64_t columns) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == dtype,
                  "raster: ", name, " must be a contiguous ", dtype_name, " tensor on the CPU");
  STD_TORCH_CHECK(
      tensor.dim() == (columns ? 2 : 1) && (!columns || tensor.size(1) == columns),
      "raster: ", name,
      columns ? " must have two dimensions, the second of size " : " must have one dimension",
      columns ? std::to_string(columns) : std::string());
}

std::tuple<Tensor, Tensor> raster(Tensor points, Tensor commands, Tensor shapes, Tensor values,
                                  Tensor image_first, int64_t height, int64_t width) {
  check(points, "points", ScalarType::Float, "float32", 2);
  check(commands, "commands", ScalarType::Byte, "uint8", 0);
  check(shapes, "shapes", ScalarType::Int, "int32", kShapeColumns);
  check(values, "values", ScalarType::Float, "float32", kValueColumns);
  check(image_first, "image_first", ScalarType::Long, "int64", 0);
  STD_TORCH_CHECK(shapes.size(0) == values.size(0),
                  "raster: shapes and values must have as many rows");
  STD_TORCH_CHECK(image_first.size(0) >= 1,
                  "raster: image_first must have one entry more than there are images");
  STD_TORCH_CHECK(height >= 1 && width >= 1 && height <= 16384 && width <= 16384,
                  "raster: height and width must be between 1 and 16384");
  const int64_t images = image_first.size(0) - 1;
  Tensor pixels = torch::stable::new_empty(commands, {images, 3, height, width});
  Tensor parts = torch::stable::new_empty(commands, {images, height, width});
  const stylemap::RasterParams params{
      points.const_data_ptr<float>(),
      commands.const_data_ptr<uint8_t>(),
      reinterpret_cast<const stylemap::RasterShape*>(shapes.const_data_ptr<int32_t>()),
      reinterpret_cast<const stylemap::RasterValues*>(values.const_data_ptr<float>()),
      image_first.const_data_ptr<int64_t>(),
      images,
      shapes.size(0),
      points.size(0),
      commands.size(0),
      static_cast<int>(height),
      static_cast<int>(width),
      pixels.mutable_data_ptr<uint8_t>(),
      parts.mutable_data_ptr<uint8_t>(),
  };
  const char* error = stylemap::raster_check(params);
  STD_TORCH_CHECK(error == nullptr, "raster: ", error ? error : "");
  torch::stable::parallel_for(0, images, 1, [&](int64_t first, int64_t last) {
    stylemap::raster_images(params, first, last);
  });
  return {pixels, parts};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(stylemap, m) {
  m.def(
      "raster(Tensor points, Tensor commands, Tensor shapes, Tensor values, Tensor image_first, "
      "int height, int width)"
      " -> (Tensor pixels, Tensor parts)");
}

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) { m.impl("raster", TORCH_BOX(&raster)); }
