// Schemas of the passes of the GPU plan, the steps into which it divides a layer. They have
// CUDA kernels only; their definitions are in stylemap/ops/passes/.
//
// `groups` of a result says which statistics of it the next norm wants (see modulate); -1: none.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(stylemap, m) {
  m.def(
      "conv_act(Tensor x, Tensor weight, Tensor? bias, Tensor? skip, int stride, int padding,"
      " float negative_slope, float gain, int groups, float eps, int tile)"
      " -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def("join_moments(Tensor partials, float eps) -> (Tensor mean, Tensor rstd)");
  m.def("transposed_conv(Tensor x, Tensor weight, int tile) -> Tensor");
  m.def("conv_rows_(Tensor(a!) y, Tensor x, Tensor weight, Tensor? bias, Tensor rows) -> ()");
  m.def(
      "conv_rows_group_(Tensor(a!)[] y, Tensor[] x, Tensor[] weight, Tensor[] bias, Tensor[] rows)"
      " -> ()");
  m.def(
      "modulate_conv(Tensor x, Tensor style, Tensor gamma_weight, Tensor gamma_bias,"
      " Tensor beta_weight, Tensor beta_bias, Tensor mean, Tensor rstd, int groups,"
      " int tile) -> Tensor");
  m.def(
      "apply_modulation(Tensor x, Tensor gamma, Tensor beta, Tensor mean, Tensor rstd, int groups)"
      " -> Tensor");
  m.def(
      "blur_act(Tensor x, Tensor filter, Tensor? bias, SymInt[] padding, float negative_slope,"
      " float gain, int groups, float eps) -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "skip_add(Tensor x, Tensor skip, Tensor filter, float gain, int groups, float eps)"
      " -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "modulated_rgb(Tensor x, Tensor gamma, Tensor beta, Tensor mean, Tensor rstd, int groups,"
      " Tensor weight, Tensor bias, float negative_slope, float gain) -> Tensor");
}
