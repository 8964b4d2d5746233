// What the cases of the driver share: arrays on the host and the device, and the report of a case.
//
// The driver calls every launcher of the CUDA kernels at a small size and compares with a
// definition in double precision. It has no torch in it, so that a tool that watches every
// instruction of a device takes seconds.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/common/dtype.h"

namespace driver {

using stylemap::DType;
using stylemap::float16;

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::printf("{\"case\": \"%s\", \"failure\": \"%s\"}\n", what, cudaGetErrorString(error));
  std::fflush(stdout);
  std::exit(1);
}

// Values on the host, and a copy on the device.
template <class T>
class Array {
 public:
  explicit Array(size_t count) : host_(count) { check(cudaMalloc(&device_, bytes()), "memory"); }
  ~Array() { cudaFree(device_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  size_t size() const { return host_.size(); }
  T* device() const { return static_cast<T*>(device_); }
  std::vector<T>& host() { return host_; }
  void upload() {
    check(cudaMemcpy(device_, host_.data(), bytes(), cudaMemcpyHostToDevice), "copy to the device");
  }
  void download() {
    check(cudaMemcpy(host_.data(), device_, bytes(), cudaMemcpyDeviceToHost),
          "copy from the device");
  }
  double operator[](size_t i) const {
    if constexpr (std::is_arithmetic_v<T>)
      return static_cast<double>(host_[i]);
    else
      return load(host_[i]);
  }

 private:
  size_t bytes() const { return host_.size() * sizeof(T); }
  std::vector<T> host_;
  void* device_ = nullptr;
};

using Half = Array<float16>;
using Float = Array<float>;

// Uniform in [-scale, scale].
template <class T>
void randomize(Array<T>& values, unsigned seed, double scale = 1) {
  std::mt19937 generator(seed);
  for (T& value : values.host()) {
    const double unit = generator() / 4294967295.0;
    stylemap::store(value, static_cast<float>((2 * unit - 1) * scale));
  }
  values.upload();
}

// Of results: what a kernel leaves unwritten is found.
template <class T>
void forget(Array<T>& values) {
  for (T& value : values.host()) stylemap::store(value, std::numeric_limits<float>::quiet_NaN());
  values.upload();
}

// Largest relative L2 error that rounding to float16 explains, and that of statistics in float32.
constexpr double kHalfError = 1e-3, kFloatError = 1e-5;

// Whether every case so far was right.
inline bool all_right = true;

// Waits for the device, then reports the error of `actual` as a line of JSON. expected(i): the
// definition.
template <class T, class Expected>
void report(const std::string& name, cudaError_t launched, Array<T>& actual,
            const Expected& expected) {
  check(launched, name.c_str());
  check(cudaDeviceSynchronize(), name.c_str());
  actual.download();
  double squares = 0, errors = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double value = expected(i), difference = actual[i] - value;
    squares += value * value;
    errors += difference * difference;
  }
  const double error = std::sqrt(errors / squares);
  const double limit = sizeof(T) == sizeof(float16) ? kHalfError : kFloatError;
  const bool right = error <= limit;  // not of NaN
  all_right = all_right && right;
  std::printf("{\"case\": \"%s\", \"error\": %.3g, \"right\": %s}\n", name.c_str(),
              std::isnan(error) ? -1 : error, right ? "true" : "false");
  std::fflush(stdout);
}

inline double leaky(double x, double slope, double gain) { return (x > 0 ? x : x * slope) * gain; }

void elements();
void statistics();
void filters();
void convolutions();

}  // namespace driver
