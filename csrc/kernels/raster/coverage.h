// How much of every pixel a shape covers.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/raster/path.h"

namespace stylemap {

// Pixels touched so far: columns first .. last of rows top .. bottom, ends excluded.
struct Box {
  int left, top, right, bottom;
};

// One image's worth of coverage. For fills it collects, per pixel, the change of signed area from
// its left neighbour (so that a running sum along the row gives the area); for strokes the coverage
// itself.
class Coverage {
 public:
  Coverage(int width, int height)
      : width_(width), height_(height), values_(static_cast<size_t>(height) * (width + 2)) {
    reset();
  }

  float* row(int y) { return values_.data() + static_cast<size_t>(y) * (width_ + 2); }
  Box box() const { return box_; }
  void reset() { box_ = {width_, height_, 0, 0}; }

  // An edge of a filled path. Parts left of the image count in column 0, parts right of it nowhere.
  void add_edge(Point from, Point to) {
    if (std::fabs(from.y - to.y) < kLeast) return;
    const float sign = from.y < to.y ? 1.f : -1.f;
    Point p = from.y < to.y ? from : to, q = from.y < to.y ? to : from;
    if (q.y <= 0 || p.y >= height_) return;
    const float slope = (q.x - p.x) / (q.y - p.y);
    if (p.y < 0) p = {p.x - p.y * slope, 0};
    if (q.y > height_) q = {q.x - (q.y - height_) * slope, static_cast<float>(height_)};
    // Cut at the left and right borders, so that every piece lies in one of the three bands.
    float cuts[4] = {p.y, q.y, q.y, q.y};
    int count = 1;
    for (float border : {slope > 0 ? 0.f : static_cast<float>(width_),
                         slope > 0 ? static_cast<float>(width_) : 0.f}) {
      const bool crosses = (p.x < border) != (q.x < border);
      if (!crosses || slope == 0) continue;
      const float y = std::clamp(p.y + (border - p.x) / slope, cuts[count - 1], q.y);
      cuts[count++] = y;
    }
    cuts[count] = q.y;
    for (int i = 0; i < count; ++i) {
      const float y0 = cuts[i], y1 = cuts[i + 1];
      if (y1 - y0 >= kLeast)
        add_piece(sign, {p.x + (y0 - p.y) * slope, y0}, {p.x + (y1 - p.y) * slope, y1});
    }
  }

  // A piece of a stroke with round ends: radius goes from r0 to r1.
  void add_capsule(Point from, Point to, float r0, float r1, float feather) {
    const float reach = std::max(r0, r1) + std::max(0.5f, 0.5f * feather);
    const int left = clamp_floor(std::min(from.x, to.x) - reach, width_);
    const int right = clamp_floor(std::max(from.x, to.x) + reach + 1, width_);
    const int top = clamp_floor(std::min(from.y, to.y) - reach, height_);
    const int bottom = clamp_floor(std::max(from.y, to.y) + reach + 1, height_);
    if (left >= right || top >= bottom) return;
    const float dx = to.x - from.x, dy = to.y - from.y, length = dx * dx + dy * dy;
    const float inverse = length > 0 ? 1 / length : 0;
    const float ramp = feather > 0 ? 1 / feather : 0;
    for (int y = top; y < bottom; ++y) {
      float* out = row(y);
      const float py = y + 0.5f - from.y;
      for (int x = left; x < right; ++x) {
        const float px = x + 0.5f - from.x;
        const float along = std::min(std::max((px * dx + py * dy) * inverse, 0.f), 1.f);
        const float ex = px - along * dx, ey = py - along * dy;
        const float distance = std::sqrt(ex * ex + ey * ey), radius = r0 + (r1 - r0) * along;
        const float box = unit(radius - distance + 0.5f) - unit(-radius - distance + 0.5f);
        const float soft = unit((radius - distance) * ramp + 0.5f);
        const float value = ramp > 0 ? soft * soft * (3 - 2 * soft) : box;
        out[x] = std::max(out[x], value);
      }
    }
    touch(left, top, right, bottom);
  }

  // Turns the collected areas of row y, columns left .. right, into coverage.
  void integrate(int y, int left, int right) {
    float* values = row(y);
    float area = 0;
    for (int x = left; x < right; ++x) {
      area += values[x];
      values[x] = std::min(std::fabs(area), 1.f);
    }
  }

  void clear(int y, int left, int right) { std::fill(row(y) + left, row(y) + right + 2, 0.f); }

 private:
  static constexpr float kLeast =
      1e-6f;  // vertical extent below which a piece adds nothing, and slopes overflow

  static float unit(float value) { return std::min(std::max(value, 0.f), 1.f); }

  static int clamp_floor(float value, int limit) {
    return value <= 0 ? 0 : value >= limit ? limit : static_cast<int>(value);
  }

  void touch(int left, int top, int right, int bottom) {
    box_ = {std::min(box_.left, left), std::min(box_.top, top), std::max(box_.right, right),
            std::max(box_.bottom, bottom)};
  }

  // A piece within the image's rows and within one of its three bands of columns.
  void add_piece(float sign, Point p, Point q) {
    const int top = static_cast<int>(p.y),
              bottom = std::min(static_cast<int>(std::ceil(q.y)), height_);
    const float middle = 0.5f * (p.x + q.x);
    if (middle >= width_)
      return touch(width_, top, width_, bottom);  // what is covered goes on to the border
    if (middle <= 0) p.x = q.x = 0;
    p.x = std::clamp(p.x, 0.f, static_cast<float>(width_));
    q.x = std::clamp(q.x, 0.f, static_cast<float>(width_));
    const float slope = (q.x - p.x) / (q.y - p.y);
    for (int y = top; y < bottom; ++y) {
      const float y0 = std::max(p.y, static_cast<float>(y)),
                  y1 = std::min(q.y, static_cast<float>(y + 1));
      if (y1 <= y0) continue;
      const float xa = p.x + (y0 - p.y) * slope, xb = p.x + (y1 - p.y) * slope;
      add_span(row(y), sign * (y1 - y0), std::min(xa, xb), std::max(xa, xb));
    }
    touch(static_cast<int>(std::min(p.x, q.x)), top,
          std::min(static_cast<int>(std::max(p.x, q.x)) + 2, width_), bottom);
  }

  // An edge inside one row: `height` is its signed vertical extent, x0 <= x1 its horizontal one.
  // What lies to the right of the edge is covered; the pixels it crosses get the exact area of a
  // trapezium.
  void add_span(float* out, float height, float x0, float x1) {
    x0 = std::clamp(x0, 0.f, static_cast<float>(width_));
    x1 = std::clamp(x1, x0, static_cast<float>(width_));
    const int first = static_cast<int>(x0), last = static_cast<int>(x1);
    if (first == last) {
      const float left = height * (0.5f * (x0 + x1) - first);
      out[first] += height - left;
      out[first + 1] += left;
      return;
    }
    const float per_column = height / (x1 - x0);
    const float head = first + 1 - x0, tail = x1 - last;
    float before =
        0.5f * per_column * head * head;  // area of the pixel at hand, from the running sum's view
    out[first] += before;
    for (int x = first + 1; x < last; ++x) {
      const float area = per_column * (x + 0.5f - x0);
      out[x] += area - before;
      before = area;
    }
    const float area = height - 0.5f * per_column * tail * tail;
    out[last] += area - before;
    out[last + 1] += height - area;
  }

  int width_, height_;
  std::vector<float> values_;
  Box box_;
};

}  // namespace stylemap
