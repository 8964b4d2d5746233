// Mean and rstd from the partials of conv2d.
#include <cmath>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"

namespace stylemap {

void conv2d_moments(const MomentsParams& params) {
  const int64_t width = 2 * params.channels + 1, per_group = params.channels / params.groups;
  parallel_for(params.batch, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> means(params.channels), squares(params.channels);
    for (int64_t n = begin; n < end; ++n) {
      const float* rows = params.partials + n * params.rows * width;
      double count = 0.0;
      means.assign(params.channels, 0.0);
      squares.assign(params.channels, 0.0);
      for (int64_t r = 0; r < params.rows; ++r) {
        const float* row = rows + r * width;
        const double pixels = row[2 * params.channels];
        count += pixels;
        for (int64_t c = 0; c < params.channels; ++c) means[c] += pixels * row[c];
      }
      for (int64_t c = 0; c < params.channels; ++c) means[c] /= count;
      for (int64_t r = 0; r < params.rows; ++r) {
        const float* row = rows + r * width;
        const double pixels = row[2 * params.channels];
        for (int64_t c = 0; c < params.channels; ++c) {
          const double deviation = row[c] - means[c];
          squares[c] += row[params.channels + c] + pixels * deviation * deviation;
        }
      }
      for (int64_t group = 0; group < params.groups; ++group) {
        const int64_t first = group * per_group, last = first + per_group;
        double mean = 0.0, square = 0.0;
        for (int64_t c = first; c < last; ++c) mean += means[c];
        mean /= static_cast<double>(per_group);
        for (int64_t c = first; c < last; ++c)
          square += squares[c] + count * (means[c] - mean) * (means[c] - mean);
        const double rstd =
            1.0 / std::sqrt(square / (count * static_cast<double>(per_group)) + params.eps);
        for (int64_t c = first; c < last; ++c) {
          params.mean[n * params.channels + c] = static_cast<float>(mean);
          params.rstd[n * params.channels + c] = static_cast<float>(rstd);
        }
      }
    }
  });
}

}  // namespace stylemap
