#include "program.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include "fault.h"

namespace sass {
namespace {

std::map<std::string, Kernel> kernels;

const Opcode& find_opcode(const std::string& name, const std::string& line) {
  static const Opcodes all = [] {
    Opcodes joined;
    for (const Opcodes* part :
         {&integer_opcodes(), &float_opcodes(), &convert_opcodes(), &move_opcodes(),
          &memory_opcodes(), &matrix_opcodes(), &control_opcodes()})
      joined.insert(part->begin(), part->end());
    return joined;
  }();
  auto found = all.find(name);
  // The uniform datapath's instructions are the others' with a U before.
  if (found == all.end() && name[0] == 'U') found = all.find(name.substr(1));
  if (found == all.end()) throw Unknown("opcode " + name + " is not implemented: " + line);
  return found->second;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

bool compare_modifier(const std::string& word, Compare& compare) {
  static const char* const names[] = {"LT",  "EQ",  "LE",  "GT",  "NE",  "GE",  "NUM",
                                      "NAN", "LTU", "EQU", "LEU", "GTU", "NEU", "GEU"};
  for (int i = 0; i < 14; ++i)
    if (word == names[i]) {
      compare = static_cast<Compare>(i);
      return true;
    }
  return false;
}

bool flag_modifier(const std::string& word, Modifiers& is) {
  static const std::map<std::string, bool Modifiers::*> flags = {
      {"EX", &Modifiers::extended},    {"X", &Modifiers::carry},
      {"HI", &Modifiers::high},        {"WIDE", &Modifiers::wide},
      {"FTZ", &Modifiers::flush},      {"BF16", &Modifiers::bfloat},
      {"BF16_V2", &Modifiers::bfloat}, {"W", &Modifiers::wrap},
      {"L", &Modifiers::left},         {"SX32", &Modifiers::sign_extended},
      {"S64", &Modifiers::is_64},      {"T", &Modifiers::transposed},
      {"MT88", &Modifiers::transposed}};
  const auto found = flags.find(word);
  if (found == flags.end()) return false;
  is.*found->second = true;
  return true;
}

bool width_modifier(const std::string& word, const std::string& name, Modifiers& is) {
  static const std::map<std::string, int> widths = {{"U8", 1},  {"S8", 1}, {"U16", 2},
                                                    {"S16", 2}, {"64", 8}, {"128", 16}};
  if (name == "LDSM" && (word == "1" || word == "2" || word == "4")) {
    is.matrices = word[0] - '0';
    return true;
  }
  const auto found = widths.find(word);
  if (found == widths.end()) return false;
  is.bytes = found->second;
  is.sign_extended |= word[0] == 'S';
  is.is_64 |= word == "64";
  return true;
}

Modifiers modifiers(const std::string& opcode) {
  Modifiers is;
  const std::vector<std::string> words = split(opcode, '.');
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (compare_modifier(word, is.compare) || flag_modifier(word, is) ||
        width_modifier(word, words[0], is))
      continue;
    if (word == "U32") is.is_unsigned = true;
    if (word == "U64") is.is_unsigned = is.is_64 = true;
    if (word == "OR") is.combine = Combine::kOr;
    if (word == "XOR") is.combine = Combine::kXor;
    if (word == "RP") is.rounding = Rounding::kUp;
    if (word == "RM") is.rounding = Rounding::kDown;
    if (word == "RZ" || word == "TRUNC") is.rounding = Rounding::kZero;
    if (word == "CEIL") is.rounding = Rounding::kUp;
    if (word == "FLOOR") is.rounding = Rounding::kDown;
    if (i == 1) is.variant = word[0];
  }
  return is;
}

Special special(const std::string& name) {
  static const std::map<std::string, Special> names = {
      {"SRZ", Special::kZero},           {"SR_TID.X", Special::kThreadX},
      {"SR_TID.Y", Special::kThreadY},   {"SR_TID.Z", Special::kThreadZ},
      {"SR_CTAID.X", Special::kBlockX},  {"SR_CTAID.Y", Special::kBlockY},
      {"SR_CTAID.Z", Special::kBlockZ},  {"SR_LANEID", Special::kLane},
      {"SR_CgaCtaId", Special::kCluster}};
  const auto found = names.find(name);
  return found == names.end() ? throw Unknown("special register " + name + " is not implemented")
                              : found->second;
}

Operand operand(const std::string& text) {
  char kind, flags[8], part[32];
  int index, uniform, scale;
  long long value;
  if (std::sscanf(text.c_str(), "%c,%d,%7[^,],%31[^,],%d,%d,%lld", &kind, &index, flags, part,
                  &uniform, &scale, &value) != 7)
    throw Unknown("operand " + text + " cannot be read");
  Operand o;
  o.kind = static_cast<Kind>(kind);
  o.index = static_cast<uint8_t>(index);
  if (o.kind == Kind::kUniform && index == kZeroRegister) o.index = kUniformZero;
  o.uniform = static_cast<int16_t>(uniform);
  o.scale = static_cast<uint8_t>(scale);
  o.value = o.kind == Kind::kTarget ? value / kInstructionBytes : value;
  for (const char* flag = flags; *flag; ++flag) {
    o.negate |= *flag == '-' || *flag == '!';
    o.invert |= *flag == '~';
    o.absolute |= *flag == '|';
  }
  const std::string suffix = part;
  o.wide = suffix == "64";
  if (suffix == "H0_H0" || suffix == "H0") o.half = Half::kLow;
  if (suffix == "H1_H1" || suffix == "H1") o.half = Half::kHigh;
  if (o.kind == Kind::kSpecial)
    o.special = suffix[0] == 'S' && suffix[1] == 'B' ? Special::kZero : special(suffix);
  return o;
}

template <int kMost>
void append(Operand (&to)[kMost], int& count, const Operand& o, const std::string& line) {
  if (count == kMost) throw Unknown("too many operands: " + line);
  to[count++] = o;
}

Role role_of(const std::string& name) {
  static const std::map<std::string, Role> roles = {
      {"LDC", Role::kConstant},  {"ULDC", Role::kConstant},    {"S2R", Role::kConstant},
      {"S2UR", Role::kConstant}, {"LDS", Role::kShared},       {"STS", Role::kShared},
      {"LDSM", Role::kShared},   {"SHFL", Role::kShuffle},     {"LDG", Role::kLoad},
      {"ATOMG", Role::kLoad},    {"STG", Role::kStore},        {"RED", Role::kStore},
      {"LDGSTS", Role::kCopy},   {"LDGDEPBAR", Role::kCommit}, {"DEPBAR", Role::kWait}};
  const auto found = roles.find(name);
  return found == roles.end() ? Role::kPlain : found->second;
}

Instruction decode(const std::string& line, int index) {
  std::stringstream words(line);
  std::string word;
  Instruction i;
  words >> word >> i.opcode >> i.control.stall >> i.control.write_barrier >>
      i.control.read_barrier >> i.control.wait_mask;
  i.name = i.opcode.substr(0, i.opcode.find('.'));
  i.is = modifiers(i.opcode);
  i.index = index;
  const Opcode& opcode = find_opcode(i.name, line);
  i.execute = opcode.execute;
  i.flow = i.opcode == "BRA.DIV" ? Flow::kBranchDivergent : opcode.flow;
  i.role = role_of(i.name);
  i.pipe = opcode.pipe;
  i.pipe_cycles = opcode.pipe_cycles;
  if (i.name[0] == 'U' || i.name == "S2UR") i.pipe = Pipe::kUniform;
  if (i.name == "IMAD" && (i.is.wide || i.is.high)) i.pipe_cycles = 4;
  while (words >> word) {
    const Operand o = operand(word.substr(1));
    switch (word[0]) {
      case '@':
        i.guard = o;
        break;
      case '>':
        i.result = o;
        break;
      case '<':
        append(i.source, i.sources, o, line);
        break;
      case '!':
        append(i.out, i.outs, o, line);
        break;
      case '?':
        append(i.in, i.ins, o, line);
        break;
    }
  }
  return i;
}

}  // namespace

void load_program(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Unknown("there is no program " + path);
  Kernel* current = nullptr;
  for (std::string line; std::getline(file, line);) {
    std::stringstream words(line);
    std::string word;
    words >> word;
    if (word == "kernel") {
      Kernel k;
      words >> k.name >> k.registers >> k.shared >> k.parameter_base >> k.parameter_bytes;
      current = &(kernels[k.name] = k);
    } else if (word == "parameter") {
      Parameter p;
      words >> p.offset >> p.bytes;
      current->parameters.push_back(p);
    } else if (word == "constant") {
      int bank;
      std::string digits;
      words >> bank >> digits;
      auto& bytes = current->constants[bank];
      for (size_t i = 0; i < digits.size(); i += 2)
        bytes.push_back(static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
    } else if (word == "i") {
      current->lines.push_back(line);
    }
  }
}

Kernel& kernel(const std::string& name) {
  const auto found = kernels.find(name);
  if (found == kernels.end()) throw Unknown("the program has no kernel " + name);
  Kernel& k = found->second;
  for (size_t i = 0; i < k.lines.size(); ++i)
    k.code.push_back(decode(k.lines[i], static_cast<int>(i)));
  k.lines.clear();
  return k;
}

}  // namespace sass
