// The convolution kernels for any machine.
#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

namespace stylemap {
namespace {
#include "kernels/conv2d/vec_generic.h"

#include "kernels/conv2d/kernels_impl.h"
}  // namespace

const ConvKernels kConvGeneric = make_kernels("generic");

}  // namespace stylemap
