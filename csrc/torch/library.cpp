// Every operator's schema. The meaning of each is a function of the same name in
// stylemap/ops/reference.py; fakes and autograd are in stylemap/ops/.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(stylemap, m) {
  m.def("bias_act(Tensor x, Tensor? bias, float negative_slope, float gain) -> Tensor");
  m.def("bias_act_backward(Tensor grad, Tensor y, float negative_slope, float gain) -> Tensor");
  m.def(
      "upfirdn2d(Tensor x, Tensor filter, int up, int down, SymInt[] padding, bool flip_filter)"
      " -> Tensor");
}
