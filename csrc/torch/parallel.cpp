// PyTorch's threads for the CPU kernels: torch.set_num_threads applies.
#include "kernels/common/parallel.h"

#include <torch/csrc/stable/ops.h>

namespace stylemap {

void run_parallel(int64_t count, int64_t grain, RangeFunction function, void* context) {
  TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, count, grain, function, context));
}

}  // namespace stylemap
