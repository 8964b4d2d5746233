// Replays calls of the CPU convolutions that tests/native/test_aarch64.py wrote to standard input,
// and writes their outputs to standard output. It stands in for the Python bindings where the
// kernels run on an emulated processor: it knows no framework and uses one thread.
//
//   replay ISA < calls > outputs       a call: its name as an int64 (Call), then its values in the
//   order read
//                                      below; arrays are an int64 count of bytes and the bytes
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/pointwise.h"

namespace stylemap {

void run_parallel(int64_t count, int64_t, RangeFunction function, void* context) {
  function(0, count, context);
}

}  // namespace stylemap

namespace {

using namespace stylemap;

enum Call : int64_t { kConv2d = 1, kPointwise = 2, kToRgb = 3 };

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "replay: %s\n", why);
  std::exit(1);
}

bool read_int(int64_t& value) { return std::fread(&value, sizeof value, 1, stdin) == 1; }

int64_t next_int() {
  int64_t value = 0;
  if (!read_int(value)) fail("the calls end early");
  return value;
}

// An array in memory of exactly its size, so that an overrun is seen by a memory checker.
struct Array {
  std::vector<char> bytes;

  Array() : bytes(static_cast<size_t>(next_int())) {
    if (!bytes.empty() && std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size())
      fail("an array ends early");
  }
  template <class T>
  T* as() {
    return bytes.empty() ? nullptr : reinterpret_cast<T*>(bytes.data());
  }
};

void write(const Array& array) {
  if (std::fwrite(array.bytes.data(), 1, array.bytes.size(), stdout) != array.bytes.size())
    fail("the outputs cannot be written");
}

void* aligned(int64_t bytes) {
  void* memory = std::aligned_alloc(64, static_cast<size_t>(bytes + 63) / 64 * 64 + 64);
  if (!memory) fail("out of memory");
  std::memset(memory, 0xff, static_cast<size_t>(bytes));  // NaN in either type
  return memory;
}

void replay_conv2d() {
  Conv2dParams p{};
  p.mode = static_cast<ConvMode>(next_int());
  p.tile = static_cast<int>(next_int());
  p.bf16 = next_int() != 0;
  p.batch = next_int();
  p.height = next_int();
  p.width = next_int();
  p.channels = next_int();
  p.out_channels = next_int();
  const int64_t outputs = next_int(), inputs = next_int();
  p.epilogue = static_cast<Epilogue>(next_int());
  p.residual = static_cast<Residual>(next_int());
  p.blocking = {next_int() != 0, static_cast<int>(next_int())};
  p.taps = next_int() != 0;
  p.half = next_int() != 0;
  Array slope, weight, x, bias, modulation, features, mean, rstd, skip, tile_list, out, partials;

  const int64_t rows = p.taps ? 9 : conv2d_weight_rows(p.mode, p.tile);
  const bool narrow = p.taps ? p.half : p.bf16;
  void* packed = aligned(rows * outputs * inputs * (narrow ? 2 : 4));
  const Filters filters{weight.as<double>(), true, outputs, inputs, 1.0, 0, kBlock};
  if (p.taps)
    conv2d_taps({filters, outputs, inputs, p.half, packed});
  else
    conv2d_pack({p.mode, p.tile, p.bf16, filters, outputs, inputs, packed});
  p.weights = packed;
  p.slope = *slope.as<float>();
  p.x = x.as<float>();
  p.x_batch = static_cast<int64_t>(x.bytes.size() / sizeof(float)) / p.batch;
  p.bias = bias.as<float>();
  p.modulation = modulation.as<float>();
  p.modulation_batch = static_cast<int64_t>(modulation.bytes.size() / sizeof(float)) / p.batch;
  p.features = features.as<float>();
  p.features_batch = static_cast<int64_t>(features.bytes.size() / sizeof(float)) / p.batch;
  p.mean = mean.as<float>();
  p.rstd = rstd.as<float>();
  p.moments_batch = static_cast<int64_t>(mean.bytes.size() / sizeof(float)) / p.batch;
  p.skip = skip.as<float>();
  p.tile_list = tile_list.as<int32_t>();
  p.listed = static_cast<int64_t>(tile_list.bytes.size() / sizeof(int32_t));
  p.out = out.as<float>();
  p.partials = partials.as<float>();
  void* workspace = p.blocking.shared ? aligned(conv2d_workspace(p)) : nullptr;
  p.workspace = workspace;
  conv2d(p);
  write(out);
  write(partials);
  std::free(workspace);
  std::free(packed);
}

void replay_pointwise() {
  PointwiseParams p{};
  p.batch = next_int();
  p.height = next_int();
  p.width = next_int();
  p.channels = next_int();
  p.out_channels = next_int();
  const int64_t outputs = next_int(), inputs = next_int();
  p.blur = next_int() != 0;
  p.bf16 = next_int() != 0;
  Array slope, weight, x, bias, out;
  void* packed = aligned(outputs * inputs * (p.bf16 ? 2 : 4));
  pointwise_pack(weight.as<double>(), outputs, inputs, p.bf16, packed);
  p.weights = packed;
  p.slope = *slope.as<float>();
  p.x = x.as<float>();
  p.bias = bias.as<float>();
  p.out = out.as<float>();
  pointwise(p);
  write(out);
  std::free(packed);
}

void replay_to_rgb() {
  ToRgbParams p{};
  p.batch = next_int();
  p.pixels = next_int();
  p.channels = next_int();
  p.moments_batch = p.channels;
  Array slope, x, maps, mean, rstd, weights, image;
  p.slope = *slope.as<float>();
  p.x = x.as<float>();
  p.maps = maps.as<float>();
  p.mean = mean.as<float>();
  p.rstd = rstd.as<float>();
  p.weights = weights.as<float>();
  p.image = image.as<float>();
  to_rgb(p);
  write(image);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 || !stylemap::select_isa(arguments[1]))
    fail("this processor has no such instruction set");
  int64_t call = 0;
  while (read_int(call)) {
    if (call == kConv2d)
      replay_conv2d();
    else if (call == kPointwise)
      replay_pointwise();
    else if (call == kToRgb)
      replay_to_rgb();
    else
      fail("no such call");
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
