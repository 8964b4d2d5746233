#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>

#include "timing.h"

namespace sass {
namespace {

// Where the driver puts what a kernel asks for in constant bank 0.
constexpr int kBlockSize = 0x00, kGridSize = 0x0c, kStack = 0x28;
constexpr int kReservedConstants = 0x210;

void set_constants(const Launch& launch, void** arguments) {
  const Kernel& kernel = *launch.kernel;
  auto& bank = machine.constants;
  bank.assign(std::max(kernel.parameter_base + kernel.parameter_bytes, kReservedConstants), 0);
  std::memcpy(bank.data() + kBlockSize, &launch.block, sizeof(Size3));
  std::memcpy(bank.data() + kGridSize, &launch.grid, sizeof(Size3));
  const uint32_t stack = 0xfffdc0;
  std::memcpy(bank.data() + kStack, &stack, sizeof(stack));
  for (size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(bank.data() + kernel.parameter_base + kernel.parameters[i].offset, arguments[i],
                kernel.parameters[i].bytes);
}

// Runs a warp until it waits at the block's barrier, ends, or has had its turn.
void run_warp(Warp& warp, uint32_t turn) {
  const auto& code = machine.launch.kernel->code;
  while (!warp.done() && !warp.at_barrier && turn-- > 0) {
    if (!warp.converged) ++machine.counts.divergent;
    step(warp, code);
  }
}

void run_block(Block& block, std::mt19937& random) {
  std::vector<Warp*> warps = block.warps;
  const bool shuffled = machine.settings.order != 0;
  constexpr uint32_t kLongestTurn = 64;
  for (;;) {
    if (shuffled) std::shuffle(warps.begin(), warps.end(), random);
    bool unfinished = false;
    for (Warp* warp : warps) {
      run_warp(*warp, shuffled ? 1 + random() % kLongestTurn : UINT32_MAX);
      unfinished |= !warp->done() && !warp->at_barrier;
    }
    if (!unfinished && !pass_barrier(block)) break;
  }
}

void run_blocks(const Launch& launch) {
  const uint64_t count = launch.grid.count();
  std::mt19937 random(machine.settings.order);
  std::vector<uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (machine.settings.order) std::shuffle(numbers.begin(), numbers.end(), random);
  for (const uint32_t number : numbers) {
    Block& block = block_pool().take(number);
    run_block(block, random);
    check_end(block);
    block_pool().give_back(block);
  }
}

}  // namespace

Machine machine;

BlockPool& block_pool() {
  static BlockPool pool;
  return pool;
}

Block& BlockPool::take(uint64_t number) {
  if (free_.empty()) {
    blocks_.push_back(std::make_unique<Block>());
    free_.push_back(blocks_.back().get());
  }
  Block& block = *free_.back();
  free_.pop_back();
  const Launch& launch = machine.launch;
  const Size3& grid = launch.grid;
  block.index = {static_cast<uint32_t>(number % grid.x),
                 static_cast<uint32_t>(number / grid.x % grid.y),
                 static_cast<uint32_t>(number / grid.x / grid.y)};
  const auto fixed = std::max<uint32_t>(launch.kernel->shared, kSharedBegin);
  block.shared.start(static_cast<uint32_t>(fixed + launch.dynamic_shared));
  const int threads = static_cast<int>(launch.block.count());
  const size_t warps = (threads + kWarpSize - 1) / kWarpSize;
  while (block.warps.size() < warps) {
    warps_.push_back(std::make_unique<Warp>());
    block.warps.push_back(warps_.back().get());
  }
  block.warps.resize(warps);
  for (size_t i = 0; i < warps; ++i)
    block.warps[i]->start(block, static_cast<int>(i), threads, launch.kernel->registers);
  return block;
}

void BlockPool::clear() {
  free_.clear();
  blocks_.clear();
  warps_.clear();
}

bool pass_barrier(Block& block) {
  bool waiting = false;
  for (const Warp* warp : block.warps) {
    if (!warp->done() && !warp->at_barrier) return false;
    waiting |= warp->at_barrier;
  }
  if (waiting) block.shared.barrier();
  for (Warp* warp : block.warps) warp->at_barrier = false;
  return waiting;
}

void check_end(const Block& block) {
  for (const Warp* warp : block.warps) {
    bool left = !warp->open_copies.empty();
    for (const auto& group : warp->copy_groups) left |= !group.empty();
    if (left)
      throw Fault("kernel " + machine.launch.kernel->name +
                  " ends with asynchronous copies under way");
  }
}

const Lanes& read_constant(const Warp& warp, const Operand& o, int word, Lanes& scratch,
                           Mask lanes) {
  const std::vector<uint8_t>* bank = &machine.constants;
  if (o.index != 0) {
    const auto found = machine.launch.kernel->constants.find(o.index);
    if (found == machine.launch.kernel->constants.end()) throw Fault("no such constant bank");
    bank = &found->second;
  }
  constexpr int kUniformIndex = 256;  // see disassembly.py: registers from here on are uniform
  const auto read = [&](int64_t at) {
    uint32_t value = 0;
    if (at < 0 || at >= static_cast<int64_t>(bank->size())) throw Fault("constant out of bounds");
    std::memcpy(&value, bank->data() + at, std::min<size_t>(4, bank->size() - at));
    return value;
  };
  const int64_t offset = o.value + 4 * word;
  if (o.uniform < 0) return scratch = broadcast(read(offset));
  const Lanes& index =
      o.uniform >= kUniformIndex ? warp.uniform[o.uniform - kUniformIndex] : warp.reg[o.uniform];
  for (int l = 0; l < kWarpSize; ++l)
    scratch[l] = has(lanes, l) ? read(offset + static_cast<int32_t>(index[l])) : 0;
  return scratch;
}

std::string place(const Warp& warp, const Instruction& instruction) {
  char text[64];
  std::snprintf(text, sizeof(text), " at 0x%x", instruction.index * kInstructionBytes);
  const Size3& block = warp.block->index;
  return instruction.opcode + text + " of " + machine.launch.kernel->name + ", block " +
         std::to_string(block.x) + " " + std::to_string(block.y) + " " + std::to_string(block.z) +
         ", warp " + std::to_string(warp.number);
}

bool run(const Launch& launch, void** arguments) {
  machine.launch = launch;
  ++machine.counts.launches;
  try {
    set_constants(launch, arguments);
    if (machine.settings.timing)
      run_timed(launch);
    else
      run_blocks(launch);
  } catch (const std::runtime_error& error) {
    machine.fault = error.what();
    block_pool().clear();
    return false;
  }
  return true;
}

}  // namespace sass
