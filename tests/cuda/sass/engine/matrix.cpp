// What feeds the tensor cores, and their products.
#include <cstring>

#include "halves.h"
#include "operands.h"

namespace sass {
namespace {

constexpr int kRowBytes = 16;  // of a matrix of 8 x 8 halves

// Lane l names row l % 8 of matrix l / 8, and gets two elements of row l / 4 of each; transposed,
// of column l / 4.
void ldsm(Warp& w, const Instruction& i, Mask active) {
  if (active != kAllLanes) throw Fault("ldmatrix by part of a warp");
  const int rows = 8 * i.is.matrices;
  uint16_t matrix[kWarpSize][8];
  Access& access = machine.access;
  access.bytes = kRowBytes;
  access.lanes = rows == kWarpSize ? kAllLanes : (1u << rows) - 1;
  const Operand& o = i.source[0];
  for (int l = 0; l < rows; ++l) {
    uint32_t at = static_cast<uint32_t>(o.value);
    if (o.index != kZeroRegister) at += w.reg[o.index][l];
    if (o.uniform >= 0 && o.uniform != kZeroRegister) at += w.uniform[o.uniform][l];
    access.address[l] = at;
    w.block->shared.read(at, kRowBytes, matrix[l], w.number);
  }
  for (int m = 0; m < i.is.matrices; ++m) {
    Lanes value;
    const auto& rows_of = matrix + 8 * m;
    for (int l = 0; l < kWarpSize; ++l) {
      const int row = l / 4, pair = l % 4 * 2;
      const uint32_t first = i.is.transposed ? rows_of[pair][row] : rows_of[row][pair];
      const uint32_t second = i.is.transposed ? rows_of[pair + 1][row] : rows_of[row][pair + 1];
      value[l] = first | second << 16;
    }
    set(w, i.result, value, active, m);
  }
}

// D = A B + C for A of 16 x 16, B of 16 x 8 and C and D of 16 x 8 in float32. Lane l holds of A
// rows l / 4 (+ 8 in registers 1 and 3), columns 2 (l % 4) and the next (+ 8 in registers 2 and 3);
// of B the same with rows for columns; of C and D row l / 4 (+ 8), columns 2 (l % 4) and the next.
constexpr int kM = 16, kN = 8, kK = 16;

void hmma(Warp& w, const Instruction& i, Mask active) {
  if (!i.opcode.starts_with("HMMA.16816.F32")) throw Unknown(i.opcode + " is not implemented");
  if (active != kAllLanes) throw Fault("a product of matrices by part of a warp");
  ++machine.counts.products;
  if (machine.settings.timing) return;  // values decide nothing about time
  float a[kM][kK], b[kK][kN], d[kM][kN];
  const bool bfloat = i.is.bfloat;
  const Operand &oa = i.source[0], &ob = i.source[1], &oc = i.source[2];
  Lanes scratch;
  for (int n = 0; n < 4; ++n) {
    const Lanes& part = bits(w, oa, scratch, n);
    for (int l = 0; l < kWarpSize; ++l)
      for (int h = 0; h < 2; ++h)
        a[l / 4 + n % 2 * 8][l % 4 * 2 + n / 2 * 8 + h] =
            to_float(static_cast<uint16_t>(part[l] >> 16 * h), bfloat);
  }
  for (int n = 0; n < 2; ++n) {
    const Lanes& part = bits(w, ob, scratch, n);
    for (int l = 0; l < kWarpSize; ++l)
      for (int h = 0; h < 2; ++h)
        b[l % 4 * 2 + n * 8 + h][l / 4] =
            to_float(static_cast<uint16_t>(part[l] >> 16 * h), bfloat);
  }
  for (int n = 0; n < 4; ++n) {
    const Lanes& part = bits(w, oc, scratch, n);
    for (int l = 0; l < kWarpSize; ++l) d[l / 4 + n / 2 * 8][l % 4 * 2 + n % 2] = as_float(part[l]);
  }
  for (int m = 0; m < kM; ++m)
    for (int k = 0; k < kK; ++k)
      for (int n = 0; n < kN; ++n) d[m][n] += a[m][k] * b[k][n];
  for (int n = 0; n < 4; ++n) {
    Lanes value;
    for (int l = 0; l < kWarpSize; ++l)
      value[l] = canonical(d[l / 4 + n / 2 * 8][l % 4 * 2 + n % 2]);
    set(w, i.result, value, active, n);
  }
}

}  // namespace

const Opcodes& matrix_opcodes() {
  static const Opcodes opcodes = {{"LDSM", {ldsm, Pipe::kMemory, 1}},
                                  {"HMMA", {hmma, Pipe::kTensor, 6}}};
  return opcodes;
}

}  // namespace sass
