// A launch: its parameters, its blocks one after another, and the memory that they reach.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fault.h"
#include "memory.h"
#include "warp.h"

namespace sass {

struct Size3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct Block {
  Size3 index;
  SharedMemory shared;
  std::vector<Warp*> warps;
};

struct Launch {
  Kernel* kernel;
  Size3 grid, block;
  uint64_t dynamic_shared;  // bytes
};

// What the last access to memory was, for the timing.
struct Access {
  Mask lanes = 0;
  int bytes = 0;
  uint64_t address[kWarpSize];
};

// How launches are run. `order` 0 runs blocks and warps by number, each warp as far as it gets; any
// other value is a seed that shuffles both.
struct Settings {
  uint32_t order = 0;
  bool timing = false;
};

struct Counts {
  uint64_t launches = 0, instructions = 0, products = 0, divergent = 0;
};

// The running launch, and what came before.
struct Machine {
  Launch launch;
  std::vector<uint8_t> constants;  // bank 0
  Settings settings;
  Counts counts;
  Access access;
  std::string fault;  // of the last launch that had one
};
extern Machine machine;

// Runs the launch; `arguments` points to each parameter. False after a fault, which machine.fault
// tells.
bool run(const Launch& launch, void** arguments);

// Takes blocks from a pool, whose warps and memory are made once.
class BlockPool {
 public:
  Block& take(uint64_t number);
  void give_back(Block& block) { free_.push_back(&block); }
  void clear();  // after a fault, which leaves blocks half done

 private:
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::vector<Block*> free_;
};
BlockPool& block_pool();

// Lets a block's warps go on when all that live have come to the barrier; false if none waits.
bool pass_barrier(Block& block);

// Throws the fault of a block that has ended with copies under way.
void check_end(const Block& block);

// A constant, `word` words further on; where its address is in a register, for `lanes` alone.
const Lanes& read_constant(const Warp& warp, const Operand& operand, int word, Lanes& scratch,
                           Mask lanes = kAllLanes);

// "at ADDRESS of KERNEL, block ..., warp ...": where a fault was.
std::string place(const Warp& warp, const Instruction& instruction);

}  // namespace sass
