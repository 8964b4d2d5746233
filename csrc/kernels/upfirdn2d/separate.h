// Splits a filter into a column times a row where it is such a product.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace stylemap {

// filter = column * row^T up to rounding; the 4-tap blur of the network costs 8 multiplications per
// sample instead of 16 then.
template <class C>
struct SeparatedFilter {
  bool separable;
  std::vector<C> column;  // [height]
  std::vector<C> row;     // [width]
};

template <class C>
SeparatedFilter<C> separate(const std::vector<C>& filter, int64_t height, int64_t width) {
  const auto at = [&](int64_t y, int64_t x) { return static_cast<double>(filter[y * width + x]); };
  int64_t pivot_y = 0, pivot_x = 0;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      if (std::abs(at(y, x)) > std::abs(at(pivot_y, pivot_x))) pivot_y = y, pivot_x = x;
  const double pivot = at(pivot_y, pivot_x);
  SeparatedFilter<C> result{true, std::vector<C>(height), std::vector<C>(width)};
  for (int64_t y = 0; y < height; ++y)
    result.column[y] = static_cast<C>(pivot == 0 ? 0 : at(y, pivot_x) / pivot);
  for (int64_t x = 0; x < width; ++x) result.row[x] = static_cast<C>(at(pivot_y, x));
  // A few roundings of the largest entry: a product rounded to C passes, anything else does not.
  const double rounding = sizeof(C) == 8 ? 0x1p-50 : 0x1p-22;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const double product = static_cast<double>(result.column[y]) * result.row[x];
      if (!(std::abs(at(y, x) - product) <= rounding * std::abs(pivot))) result.separable = false;
    }
  return result;
}

}  // namespace stylemap
