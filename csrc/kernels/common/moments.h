// Mean and spread of a set of numbers, kept so that partial results join without cancellation
// (Chan, Golub, LeVeque 1983). Sums of squares in float32 lose 4e-3 at mean / deviation = 300.
#pragma once

#include "kernels/common/dtype.h"

namespace stylemap {

template <class C>
struct Moments {
  C count;
  C mean;
  C m2;  // sum of squared deviations from the mean: the biased variance times count
};

// The moments of the union. Not associative to the last bit: join in a fixed order.
template <class C>
SM_HOST_DEVICE Moments<C> join(const Moments<C>& a, const Moments<C>& b) {
  const C count = a.count + b.count;
  const C delta = b.mean - a.mean;
  const C share = count > C(0) ? b.count / count : C(0);
  return {count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.count * share};
}

}  // namespace stylemap
