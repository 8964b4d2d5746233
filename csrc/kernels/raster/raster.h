// Anti-aliased vector drawing of a batch of small images: filled Bezier paths and round strokes
// with solid, linear or radial paint, clipped by earlier shapes; every image comes with a map of
// part labels.
//
//   coverage of a fill   = exact area of the path inside the pixel, min(|winding area|, 1): like
//   orientations unite,
//                          opposite ones cut holes
//   coverage of a stroke = box-filtered distance to the centre line, width going linearly along the
//   path colour <- colour + (paint - colour) * coverage * inside clip * (1 - outside clip) * paint
//   alpha * opacity label  <- part       where coverage * clips >= 1/2 and part >= 0, whatever the
//   opacity
//
// The result depends on the display list alone: no fused multiply-add, no library transcendental,
// one thread an image.
#pragma once

#include <cstdint>

namespace stylemap {

constexpr int kRasterSlots = 8;  // clip masks that one image can hold at a time
constexpr int kRasterStops = 4;  // colours of a gradient

enum RasterCommand : uint8_t { kMove = 0, kLine = 1, kQuadratic = 2, kCubic = 3, kClose = 4 };
enum RasterKind : int32_t { kFill = 0, kStroke = 1 };
enum RasterPaintKind : int32_t { kNone = 0, kSolid = 1, kLinear = 2, kRadial = 3 };

// One drawn shape: a row of the int32 table.
struct RasterShape {
  int32_t first_point, points;      // range in RasterParams::points
  int32_t first_command, commands;  // range in RasterParams::commands
  int32_t kind;                     // RasterKind
  int32_t part;                     // label written where the shape covers, -1: leaves the labels
  int32_t inside, outside;          // slot that clips to its inside / to its outside, -1: no clip
  int32_t store;                    // slot that receives this shape's clipped coverage, -1: none
  int32_t paint;                    // RasterPaintKind
};

struct RasterStop {
  float offset, r, g, b, a;  // offset in [0, 1], ascending; sRGB values and alpha in [0, 1]
};

// The matching row of the float32 table. Geometry is in the shape's own units, which `affine` takes
// to the unit square.
struct RasterValues {
  float affine[6];  // a b c d e f: x' = a x + c y + e, y' = b x + d y + f; (0,0) is the image's top
                    // left corner
  float width[2];   // stroke width at the start and at the end of the path
  float feather;    // stroke: width of the soft edge, 0 for a crisp one
  float opacity;    // times everything, [0, 1]
  float smooth;     // 1: smoothstep between gradient stops, 0: linear
  float gradient[6];  // linear: x0 y0 x1 y1; radial: cx cy rx ry cos sin of its rotation
  RasterStop stops[kRasterStops];
};

struct RasterParams {
  const float* points;         // total points x 2
  const uint8_t* commands;     // total commands; each takes 1, 1, 2, 3 or 0 points
  const RasterShape* shapes;   // total shapes, those of an image together and in drawing order
  const RasterValues* values;  // total shapes
  const int64_t*
      image_first;  // images + 1: shapes of image i are image_first[i] .. image_first[i + 1]
  int64_t images, total_shapes, total_points, total_commands;
  int height, width;
  uint8_t* pixels;  // images x 3 x height x width
  uint8_t* parts;   // images x height x width
};

// Null where every index of the display list is in range, otherwise what is wrong with it.
const char* raster_check(const RasterParams& params);

// Draws images first .. last of a checked display list. Reentrant.
void raster_images(const RasterParams& params, int64_t first, int64_t last);

}  // namespace stylemap
