"""Loops of a kernel's machine code, and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cuda.sass.disassembly import Instruction, Kernel

#: What the compiler makes an integer division of.
DIVISION = ("I2F", "F2I", "MUFU.RCP")
LOCAL = ("LDL", "STL")
#: 2^112 as the bits of a float: a half's bits are multiplied by it where they are converted by arithmetic.
HALF_SCALE = 0x77800000


@dataclass(frozen=True)
class Loop:
    body: tuple[Instruction, ...]

    @property
    def products(self) -> int:
        return sum(i.name == "HMMA" for i in self.body)

    @property
    def instructions_per_product(self) -> float:
        return len(self.body) / self.products

    def uses(self, opcodes: tuple[str, ...]) -> list[str]:
        return [i.text for i in self.body if i.opcode.startswith(opcodes)]


def loops(kernel: Kernel) -> list[Loop]:
    """From the target of each branch backwards to the branch."""
    found = []
    for i in kernel.instructions:
        if i.name == "BRA" and i.target is not None and i.target < i.address:
            body = [j for j in kernel.instructions if i.target <= j.address <= i.address]
            found.append(Loop(tuple(body)))
    return found


def main_loop(kernel: Kernel) -> Loop | None:
    """The shortest loop with the most products of matrices; None for a kernel without any."""
    candidates = [loop for loop in loops(kernel) if loop.products]
    most = max((loop.products for loop in candidates), default=0)
    return min(
        (loop for loop in candidates if loop.products == most), key=lambda loop: len(loop.body), default=None
    )
