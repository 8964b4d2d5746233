// Schemas of the operators that the model uses. Each is defined by the function of the same name in
// stylemap/ops/reference.py; fakes and autograd are in stylemap/ops/. Other schemas: the GPU plan's
// in passes.cpp, the CPU plan's in conv2d_cpu.cpp and pointwise_cpu.cpp, the drawing's in
// raster_cpu.cpp.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(stylemap, m) {
  m.def("bias_act(Tensor x, Tensor? bias, float negative_slope, float gain) -> Tensor");
  m.def("bias_act_backward(Tensor grad, Tensor y, float negative_slope, float gain) -> Tensor");
  m.def(
      "upfirdn2d(Tensor x, Tensor filter, int up, int down, SymInt[] padding, bool flip_filter)"
      " -> Tensor");
  m.def("moments(Tensor x, int groups) -> (Tensor mean, Tensor var)");
  m.def(
      "modulate(Tensor x, Tensor gamma, Tensor beta, int groups, float eps, Tensor? mean, Tensor? "
      "rstd)"
      " -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "modulate_backward(Tensor grad, Tensor x, Tensor gamma, Tensor mean, Tensor rstd, int groups,"
      " bool fixed_statistics) -> (Tensor dx, Tensor dgamma)");
  m.def(
      "blend(Tensor code, Tensor reference, Tensor mask, Tensor weight, int dx, int dy) -> Tensor");
  m.def(
      "blend_backward(Tensor grad, Tensor mask, Tensor weight, int dx, int dy)"
      " -> (Tensor dcode, Tensor dreference)");
  m.def(
      "modulated_conv2d(Tensor x, Tensor style, Tensor weight, Tensor bias, Tensor gamma_weight,"
      " Tensor gamma_bias, Tensor beta_weight, Tensor beta_bias, Tensor? filter, int groups, float "
      "eps,"
      " Tensor? mean, Tensor? rstd, float negative_slope, float gain) -> Tensor");
}
