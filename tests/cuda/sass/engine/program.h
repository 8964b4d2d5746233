// Kernels as program.py writes them: decoded instructions, ready to execute.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lanes.h"

namespace sass {

struct Warp;
struct Instruction;

constexpr int kZeroRegister = 255, kUniformZero = 63, kTrue = 7, kNoBarrier = 7;
constexpr int kInstructionBytes = 16;

enum class Kind : char {
  kNone = 0,
  kRegister = 'R',
  kUniform = 'U',
  kPredicate = 'P',
  kUniformPredicate = 'Q',
  kConstant = 'C',
  kImmediate = 'I',
  kMemory = 'M',
  kTarget = 'T',
  kBarrier = 'B',
  kSpecial = 'S',
};

enum class Half : uint8_t { kBoth, kLow, kHigh };

enum class Special : uint8_t {
  kZero,
  kThreadX,
  kThreadY,
  kThreadZ,
  kBlockX,
  kBlockY,
  kBlockZ,
  kLane,
  kCluster,
};

struct Operand {
  Kind kind = Kind::kNone;
  uint8_t index = kZeroRegister;
  bool negate = false, invert = false, absolute = false;  // of a predicate: negate
  Half half = Half::kBoth;
  bool wide = false;     // a 64-bit address
  int16_t uniform = -1;  // further register of an address
  uint8_t scale = 1;     // of an address's first register
  Special special = Special::kZero;
  int64_t value = 0;  // immediate, offset, or index of the instruction branched to
};

enum class Compare : uint8_t {
  kLess,
  kEqual,
  kLessEqual,
  kGreater,
  kNotEqual,
  kGreaterEqual,
  kNumbers,
  kNotNumbers,
  // Of floats: also true where one is NaN.
  kLessOr,
  kEqualOr,
  kLessEqualOr,
  kGreaterOr,
  kNotEqualOr,
  kGreaterEqualOr,
};

enum class Combine : uint8_t { kAnd, kOr, kXor };
enum class Rounding : uint8_t { kNearest, kUp, kDown, kZero };

// What waits for what: the units that instructions are issued to.
enum class Pipe : uint8_t {
  kAlu,
  kFmaHeavy,
  kFma,
  kSpecial,
  kUniform,
  kTensor,
  kMemory,
  kControl,
  kDouble,
};
constexpr int kPipes = 9;

// The modifiers of an opcode, each with its name in the listing.
struct Modifiers {
  Compare compare = Compare::kLess;
  Combine combine = Combine::kAnd;
  Rounding rounding = Rounding::kNearest;
  bool is_unsigned = false;    // U32, U64
  bool extended = false;       // EX
  bool carry = false;          // X
  bool high = false;           // HI
  bool wide = false;           // WIDE
  bool left = false;           // L
  bool is_64 = false;          // 64, U64, S64
  bool sign_extended = false;  // S8, S16, SX32
  bool flush = false;          // FTZ
  bool bfloat = false;         // BF16
  bool wrap = false;           // W
  bool transposed = false;     // T
  int bytes = 4;               // of an access
  int matrices = 1;            // of LDSM
  char variant = 0;            // first letter of what chooses between forms: RCP, DOWN, ...
};

using Execute = void (*)(Warp&, const Instruction&, Mask);

struct Control {
  int stall, write_barrier, read_barrier, wait_mask;
};

// What a control instruction does, which step() does itself.
enum class Flow : uint8_t {
  kNone,
  kBranch,
  kBranchDivergent,
  kCall,
  kReturn,
  kExit,
  kPush,
  kSync,
  kBreak,
  kBarrier,
};

// What an instruction is to the timing, beyond the pipe that it is issued to.
enum class Role : uint8_t {
  kPlain,
  kConstant,
  kShared,
  kShuffle,
  kLoad,
  kStore,
  kCopy,
  kCommit,
  kWait,
};

struct Instruction {
  std::string opcode;  // with modifiers
  std::string name;    // without
  Modifiers is;
  Control control;
  Operand guard, result;
  Operand source[5], out[2], in[3];
  int sources = 0, outs = 0, ins = 0;
  Execute execute = nullptr;
  Flow flow = Flow::kNone;
  Role role = Role::kPlain;
  Pipe pipe = Pipe::kAlu;
  int pipe_cycles = 2;  // for which the pipe takes nothing else
  int index = 0;
};

struct Parameter {
  int offset, bytes;
};

struct Kernel {
  std::string name;
  int registers, shared, parameter_base, parameter_bytes;
  std::vector<Parameter> parameters;
  std::map<int, std::vector<uint8_t>> constants;
  std::vector<Instruction> code;
  std::vector<std::string> lines;  // not decoded yet
};

// Decodes on first use. Throws Unknown for an opcode or operand that is not implemented.
Kernel& kernel(const std::string& name);

// Adds the kernels of a file.
void load_program(const std::string& path);

// An instruction of this name: how it is executed and where it is issued.
struct Opcode {
  Execute execute;
  Pipe pipe = Pipe::kAlu;
  int pipe_cycles = 2;
  Flow flow = Flow::kNone;
};

using Opcodes = std::map<std::string, Opcode>;
const Opcodes& integer_opcodes();
const Opcodes& float_opcodes();
const Opcodes& convert_opcodes();
const Opcodes& move_opcodes();
const Opcodes& memory_opcodes();
const Opcodes& matrix_opcodes();
const Opcodes& control_opcodes();

}  // namespace sass
