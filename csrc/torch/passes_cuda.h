// The passes of the GPU plan, for operators that run several of them. Checks and results are those
// of the operators of the same names (passes.cpp has their schemas).
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "torch/tensor.h"

namespace stylemap {

using WithStatistics = std::tuple<Tensor, Tensor, Tensor>;

WithStatistics conv_act(Tensor x, Tensor weight, std::optional<Tensor> bias,
                        std::optional<Tensor> skip, int64_t stride, int64_t padding,
                        double negative_slope, double gain, int64_t groups, double eps,
                        int64_t tile);

Tensor transposed_conv(Tensor x, Tensor weight, int64_t tile);

Tensor modulate_conv(Tensor x, Tensor style, Tensor gamma_weight, Tensor gamma_bias,
                     Tensor beta_weight, Tensor beta_bias, Tensor mean, Tensor rstd, int64_t groups,
                     int64_t tile);

WithStatistics blur_act(Tensor x, Tensor filter, std::optional<Tensor> bias,
                        std::vector<int64_t> padding, double negative_slope, double gain,
                        int64_t groups, double eps);

}  // namespace stylemap
