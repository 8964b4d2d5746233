// The colour of a shape along a row of pixels.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/raster/path.h"

namespace stylemap {

// A gradient is its first colour plus, for each further stop, a clamped ramp times the step to that
// stop's colour.
class Paint {
 public:
  Paint(const RasterShape& shape, const RasterValues& values, const PixelMap& map)
      : kind_(shape.paint),
        smooth_(values.smooth != 0),
        opacity_(values.opacity),
        stops_(values.stops) {
    const float determinant = map.a * map.d - map.b * map.c;
    const float inverse = determinant != 0 ? 1 / determinant : 0;
    const float* g = values.gradient;
    // u, v in the gradient's own frame: t = u for linear paint, the length of (u, v) for radial
    // paint.
    float ux, uy, u0, vx = 0, vy = 0, v0 = 0;
    if (kind_ == kLinear) {
      const float dx = g[2] - g[0], dy = g[3] - g[1], length = dx * dx + dy * dy;
      ux = length > 0 ? dx / length : 0;
      uy = length > 0 ? dy / length : 0;
      u0 = -(ux * g[0] + uy * g[1]);
    } else {
      const float rx = g[2] > 0 ? 1 / g[2] : 0, ry = g[3] > 0 ? 1 / g[3] : 0;
      ux = g[4] * rx, uy = g[5] * rx;
      vx = -g[5] * ry, vy = g[4] * ry;
      u0 = -(ux * g[0] + uy * g[1]);
      v0 = -(vx * g[0] + vy * g[1]);
    }
    auto to_pixels = [&](float x, float y, float constant, float* row) {
      row[0] = (x * map.d - y * map.b) * inverse;
      row[1] = (y * map.a - x * map.c) * inverse;
      row[2] = constant - row[0] * map.e - row[1] * map.f;
    };
    to_pixels(ux, uy, u0, u_);
    to_pixels(vx, vy, v0, v_);
    ramps_ = kind_ == kSolid ? 0 : kRasterStops - 1;
    while (ramps_ > 0 && same(stops_[ramps_], stops_[ramps_ - 1])) --ramps_;
    for (int i = 0; i < ramps_; ++i) {
      const float width = stops_[i + 1].offset - stops_[i].offset;
      rate_[i] = 1 / std::max(width, 1e-4f);
    }
  }

  // Blends `count` pixels from column x of row y: planes of colours, coverage in [0, 1]. `t` is
  // scratch of that size.
  void blend(int x, int y, int count, const float* coverage, float* red, float* green, float* blue,
             float* t) const {
    const RasterStop& first = stops_[0];
    if (ramps_ == 0) {
      const float alpha = first.a * opacity_;
      for (int i = 0; i < count; ++i) {
        const float a = coverage[i] * alpha;
        red[i] += (first.r - red[i]) * a;
        green[i] += (first.g - green[i]) * a;
        blue[i] += (first.b - blue[i]) * a;
      }
      return;
    }
    positions(x, y, count, t);
    for (int i = 0; i < count; ++i) {
      float r = first.r, g = first.g, b = first.b, a = first.a;
      for (int k = 0; k < ramps_; ++k) {
        const RasterStop &from = stops_[k], &to = stops_[k + 1];
        float f = std::min(std::max((t[i] - from.offset) * rate_[k], 0.f), 1.f);
        if (smooth_) f = f * f * (3 - 2 * f);
        r += (to.r - from.r) * f;
        g += (to.g - from.g) * f;
        b += (to.b - from.b) * f;
        a += (to.a - from.a) * f;
      }
      a = a * opacity_ * coverage[i];
      red[i] += (r - red[i]) * a;
      green[i] += (g - green[i]) * a;
      blue[i] += (b - blue[i]) * a;
    }
  }

 private:
  static bool same(const RasterStop& p, const RasterStop& q) {
    return p.r == q.r && p.g == q.g && p.b == q.b && p.a == q.a;
  }

  void positions(int x, int y, int count, float* t) const {
    const float py = y + 0.5f, u0 = u_[1] * py + u_[2], v0 = v_[1] * py + v_[2];
    for (int i = 0; i < count; ++i) t[i] = u_[0] * (x + i + 0.5f) + u0;
    if (kind_ != kRadial) return;
    for (int i = 0; i < count; ++i) {
      const float v = v_[0] * (x + i + 0.5f) + v0;
      t[i] = std::sqrt(t[i] * t[i] + v * v);
    }
  }

  int kind_, ramps_;
  bool smooth_;
  float opacity_, u_[3], v_[3], rate_[kRasterStops - 1] = {};
  const RasterStop* stops_;
};

}  // namespace stylemap
