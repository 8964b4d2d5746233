// How each convolution becomes matrix products of transformed inputs and transformed weights.
//
// Along one axis a scheme has transformed weights (rows of G applied to the 3 taps), transformed
// inputs and products of the two; in two dimensions everything is the outer product of itself.
//
//   kPlain  F(M x M, 3 x 3), toom.h: (M + 2)^2 products for M x M outputs.
//   kUp     the transposed convolution of 2 inputs x0, x1 makes 5 values,
//             t0 = w0 x0   t1 = w1 x0   t2 = w2 x0 + w0 x1   t3 = w1 x1   t4 = w2 x1,
//           t2 by Karatsuba: (x0 + x1)(w0 + w2) - w0 x0 - w2 x1. 25 products for 2 x 2 inputs,
//           where the four phases one by one need 36, and 16 times the weights where a Winograd
//           convolution of each phase, blur folded in, needs 144.
//   kDown   its transpose: 2 outputs of stride 2 from the 5 values b0 ... b4,
//             y0 = (b0 - b2) w0 + b1 w1 + b2 (w0 + w2)   y1 = b2 (w0 + w2) + (b4 - b2) w2 + b3 w1,
//           each of the three sums one product, with up to 4 K channels in two dimensions.
// The factors of kUp and kDown are 1 and -1: they round about as much as the convolution itself.
#pragma once

#include "kernels/conv2d/conv2d.h"

namespace stylemap {

struct Scheme {
  int step;        // side of a tile: outputs of kPlain and kDown, inputs of kUp
  int weights;     // transformed weights along an axis
  double g[8][3];  // G

  // Sizes and positions are counted in K, the (padded) number of input channels.
  int weight_rows;       // of one block of U
  int weight_row[8][8];  // position of the weight (gy, gx) in a block of U
  int input_planes;
  int input_start[kMaxPlanes + 1];  // of a plane of V; the difference to the next is its depth

  struct Product {
    int input_plane;
    int weight_row;
  };
  int products;
  Product product[kMaxPlanes];

  // What the rows of G along y that share inputs make: consecutive rows of U and products.
  struct Group {
    int weight, weights;  // rows of G along y
    int row, rows;        // of U
    int product, products;
  };
  int groups;
  Group group[8];

  int depth(int input_plane) const {
    return input_start[input_plane + 1] - input_start[input_plane];
  }
};

const Scheme& conv2d_scheme(ConvMode mode, int tile);

}  // namespace stylemap
