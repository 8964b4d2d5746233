// Paths to polylines in pixels.
#pragma once

#include <cmath>

#include "kernels/raster/raster.h"

namespace stylemap {

struct Point {
  float x, y;
};

// Takes a shape's units to pixels.
struct PixelMap {
  float a, b, c, d, e, f;

  PixelMap(const float* m, int width, int height)
      : a(m[0] * width),
        b(m[1] * height),
        c(m[2] * width),
        d(m[3] * height),
        e(m[4] * width),
        f(m[5] * height) {}

  Point operator()(float x, float y) const { return {a * x + c * y + e, b * x + d * y + f}; }

  // Mean scale: pixels per unit of length.
  float scale() const { return std::sqrt(std::fabs(a * d - b * c)); }
};

// Segments a cubic needs to stay within a fortieth of a pixel of the curve: the second difference
// bounds the error.
inline int cubic_segments(Point p0, Point p1, Point p2, Point p3) {
  const float ax = p0.x - 2 * p1.x + p2.x, ay = p0.y - 2 * p1.y + p2.y;
  const float bx = p1.x - 2 * p2.x + p3.x, by = p1.y - 2 * p2.y + p3.y;
  const float a = ax * ax + ay * ay, b = bx * bx + by * by;
  const float bend = std::sqrt(a > b ? a : b);
  const float wanted = std::ceil(std::sqrt(0.75f / 0.025f * bend));
  return wanted < 1 ? 1 : wanted > 64 ? 64 : static_cast<int>(wanted);
}

// Calls line(Point, Point) for every piece, in pixels.
// `close` ends every subpath where it began, as a fill needs.
template <class Line>
void flatten(const RasterParams& params, const RasterShape& shape, const PixelMap& map, bool close,
             Line line) {
  const float* p = params.points + 2 * static_cast<int64_t>(shape.first_point);
  const uint8_t* command = params.commands + shape.first_command;
  Point start{0, 0}, at{0, 0};
  auto next = [&] {
    const Point point = map(p[0], p[1]);
    p += 2;
    return point;
  };
  auto cubic = [&](Point p1, Point p2, Point p3) {
    const Point p0 = at;
    const int segments = cubic_segments(p0, p1, p2, p3);
    for (int i = 1; i <= segments; ++i) {
      const float t = static_cast<float>(i) / segments, s = 1 - t;
      const float w0 = s * s * s, w1 = 3 * s * s * t, w2 = 3 * s * t * t, w3 = t * t * t;
      const Point to = i == segments ? p3
                                     : Point{w0 * p0.x + w1 * p1.x + w2 * p2.x + w3 * p3.x,
                                             w0 * p0.y + w1 * p1.y + w2 * p2.y + w3 * p3.y};
      line(at, to);
      at = to;
    }
  };
  auto end = [&] {
    if (at.x != start.x || at.y != start.y) line(at, start);
    at = start;
  };
  for (int i = 0; i < shape.commands; ++i) {
    switch (command[i]) {
      case kMove:
        if (close) end();
        start = at = next();
        break;
      case kLine: {
        const Point to = next();
        line(at, to);
        at = to;
        break;
      }
      case kQuadratic: {
        const Point q = next(), to = next();
        cubic({at.x + (q.x - at.x) * (2.f / 3), at.y + (q.y - at.y) * (2.f / 3)},
              {to.x + (q.x - to.x) * (2.f / 3), to.y + (q.y - to.y) * (2.f / 3)}, to);
        break;
      }
      case kCubic: {
        const Point p1 = next(), p2 = next(), to = next();
        cubic(p1, p2, to);
        break;
      }
      default:
        end();
    }
  }
  if (close) end();
}

}  // namespace stylemap
