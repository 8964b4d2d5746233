// Bytes must not depend on the machine: a compiler that fuses multiply and add would round
// differently.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "kernels/raster/raster.h"

#include <array>
#include <vector>

#include "kernels/raster/coverage.h"
#include "kernels/raster/paint.h"
#include "kernels/raster/path.h"

namespace stylemap {
namespace {

// Draws one image at a time; keeps its buffers between images.
class Canvas {
 public:
  explicit Canvas(const RasterParams& params)
      : params_(params),
        width_(params.width),
        height_(params.height),
        area_(int64_t{1} * width_ * height_),
        coverage_(width_, height_),
        pixels_(3 * area_),
        parts_(area_),
        scratch_(width_) {}

  void draw(int64_t image) {
    std::fill(pixels_.begin(), pixels_.end(), 0.f);
    std::fill(parts_.begin(), parts_.end(), uint8_t{0});
    for (auto& slot : slots_) std::fill(slot.begin(), slot.end(), 0.f);
    for (int64_t i = params_.image_first[image]; i < params_.image_first[image + 1]; ++i)
      draw_shape(params_.shapes[i], params_.values[i]);
    uint8_t* out = params_.pixels + image * 3 * area_;
    for (int64_t i = 0; i < 3 * area_; ++i)
      out[i] = static_cast<uint8_t>(std::min(std::max(pixels_[i], 0.f), 1.f) * 255.f + 0.5f);
    std::copy(parts_.begin(), parts_.end(), params_.parts + image * area_);
  }

 private:
  float* slot(int index) {
    if (slots_[index].empty()) slots_[index].assign(area_, 0.f);
    return slots_[index].data();
  }

  void draw_shape(const RasterShape& shape, const RasterValues& values) {
    const PixelMap map(values.affine, width_, height_);
    collect(shape, values, map);
    const Box box = coverage_.box();
    const Paint paint(shape, values, map);
    if (shape.store >= 0) std::fill_n(slot(shape.store), area_, 0.f);
    const float* inside = shape.inside >= 0 ? slot(shape.inside) : nullptr;
    const float* outside = shape.outside >= 0 ? slot(shape.outside) : nullptr;
    const int count = box.right - box.left;
    for (int y = box.top; y < box.bottom && count > 0; ++y) {
      if (shape.kind == kFill) coverage_.integrate(y, box.left, box.right);
      float* cover = coverage_.row(y) + box.left;
      const int64_t at = int64_t{1} * y * width_ + box.left;
      for (int i = 0; inside && i < count; ++i) cover[i] *= inside[at + i];
      for (int i = 0; outside && i < count; ++i) cover[i] *= 1 - outside[at + i];
      if (shape.store >= 0) std::copy_n(cover, count, slot(shape.store) + at);
      if (shape.paint != kNone) {
        float* red = pixels_.data() + at;
        paint.blend(box.left, y, count, cover, red, red + area_, red + 2 * area_, scratch_.data());
      }
      uint8_t* part = parts_.data() + at;
      for (int i = 0; shape.part >= 0 && i < count; ++i)
        part[i] = cover[i] >= 0.5f ? static_cast<uint8_t>(shape.part) : part[i];
      coverage_.clear(y, box.left, box.right);
    }
    coverage_.reset();
  }

  // Puts the outline, or the stroke around it, into the coverage buffer.
  void collect(const RasterShape& shape, const RasterValues& values, const PixelMap& map) {
    if (shape.kind == kFill) {
      flatten(params_, shape, map, true,
              [&](Point from, Point to) { coverage_.add_edge(from, to); });
      return;
    }
    edges_.clear();
    float total = 0;
    flatten(params_, shape, map, false, [&](Point from, Point to) {
      const float dx = to.x - from.x, dy = to.y - from.y;
      edges_.push_back({from, to, total, total += std::sqrt(dx * dx + dy * dy)});
    });
    const float scale = map.scale(), inverse = total > 0 ? 1 / total : 0;
    const float start = 0.5f * values.width[0] * scale,
                change = 0.5f * values.width[1] * scale - start;
    for (const Edge& edge : edges_)
      coverage_.add_capsule(edge.from, edge.to, start + change * (edge.start * inverse),
                            start + change * (edge.end * inverse), values.feather * scale);
  }

  struct Edge {
    Point from, to;
    float start, end;  // distance from the beginning of the path
  };

  const RasterParams& params_;
  const int width_, height_;
  const int64_t area_;
  Coverage coverage_;
  std::vector<float> pixels_;
  std::vector<uint8_t> parts_;
  std::vector<float> scratch_;
  std::array<std::vector<float>, kRasterSlots> slots_;
  std::vector<Edge> edges_;
};

// Bounds that keep every later product finite.
bool all_within(const float* values, int64_t count, float limit) {
  for (int64_t i = 0; i < count; ++i)
    if (!(std::fabs(values[i]) <= limit)) return false;
  return true;
}

const char* check_path(const RasterParams& params, const RasterShape& shape) {
  static constexpr int kPoints[] = {1, 1, 2, 3, 0};
  if (shape.first_point < 0 || shape.points < 0 || shape.first_command < 0 || shape.commands < 0 ||
      int64_t{shape.first_point} + shape.points > params.total_points ||
      int64_t{shape.first_command} + shape.commands > params.total_commands)
    return "a shape's points or commands lie outside their arrays";
  int64_t points = 0;
  for (int i = 0; i < shape.commands; ++i) {
    const uint8_t command = params.commands[shape.first_command + i];
    if (command > kClose) return "unknown path command";
    if (i == 0 && command != kMove) return "a path must begin with a move";
    points += kPoints[command];
  }
  return points == shape.points ? nullptr : "a path's commands and points do not match";
}

}  // namespace

const char* raster_check(const RasterParams& params) {
  if (params.images > 0 &&
      (params.image_first[0] != 0 || params.image_first[params.images] != params.total_shapes))
    return "image_first must run from 0 to the number of shapes";
  for (int64_t i = 0; i < params.images; ++i)
    if (params.image_first[i] > params.image_first[i + 1]) return "image_first must not decrease";
  if (!all_within(params.points, 2 * params.total_points, 1e5f))
    return "points must be finite and below 1e5";
  for (int64_t i = 0; i < params.total_shapes; ++i) {
    const RasterShape& shape = params.shapes[i];
    for (int slot : {shape.inside, shape.outside, shape.store})
      if (slot < -1 || slot >= kRasterSlots) return "clip slots must be -1 or 0 to 7";
    if (shape.part < -1 || shape.part > 255) return "parts must be -1 or 0 to 255";
    if (shape.kind < kFill || shape.kind > kStroke) return "unknown shape kind";
    if (shape.paint < kNone || shape.paint > kRadial) return "unknown paint";
    if (!all_within(params.values[i].affine, sizeof(RasterValues) / sizeof(float), 1e4f))
      return "values must be finite and below 1e4";
    if (const char* error = check_path(params, shape)) return error;
  }
  return nullptr;
}

void raster_images(const RasterParams& params, int64_t first, int64_t last) {
  Canvas canvas(params);
  for (int64_t i = first; i < last; ++i) canvas.draw(i);
}

}  // namespace stylemap
