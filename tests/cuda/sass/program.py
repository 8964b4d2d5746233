"""Disassembled kernels as the text that the engine loads: a line per instruction, a word per operand."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cuda.sass.disassembly import Instruction, Kernel, Operand, kernels


def write(kernels: Iterable[Kernel], path: Path) -> None:
    path.write_text("\n".join(line for kernel in kernels for line in _kernel(kernel)) + "\n")


def _kernel(kernel: Kernel) -> list[str]:
    head = [kernel.name, kernel.registers, kernel.shared, kernel.parameter_base, kernel.parameter_bytes]
    lines = [f"kernel {' '.join(map(str, head))} {len(kernel.parameters)} {len(kernel.instructions)}"]
    lines += [f"parameter {offset} {size}" for offset, size in kernel.parameters]
    lines += [f"constant {bank} {data.hex()}" for bank, data in kernel.constants.items() if data]
    return lines + [_instruction(i) for i in kernel.instructions]


def _instruction(i: Instruction) -> str:
    control = i.control
    words = ["i", i.opcode, control.stall, control.write_barrier, control.read_barrier, control.wait_mask]
    words.append(_operand("@", i.guard))
    if i.result is not None:
        words.append(_operand(">", i.result))
    for role, operands in (("!", i.predicates_out), ("<", i.sources), ("?", i.predicates_in)):
        words += [_operand(role, operand) for operand in operands]
    return " ".join(map(str, words))


@functools.cache
def _operand(role: str, o: Operand) -> str:
    return f"{role}{o.kind},{o.index},{o.flags or '.'},{o.part or '.'},{o.uniform},{o.scale},{o.value}"


if __name__ == "__main__":
    cubin, program = map(Path, sys.argv[1:])
    write(kernels(cubin), program)
