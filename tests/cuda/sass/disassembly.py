"""Machine code as data: the instructions of a cubin with operands and control codes.

nvdisasm names operations and operands; what it leaves out (float constants in full, and the scheduling
codes of the assembler) is read from the encoding.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.cuda.sass import toolchain
from tests.cuda.sass.cubin import Cubin

INSTRUCTION_BYTES = 16
#: A register that reads as zero, and a predicate that reads as true.
ZERO, TRUE = 255, 7
NO_BARRIER = 7

#: First operand is no result, though it may be a register.
_STORES = {"STG", "STS", "STL", "ST", "RED", "LDGSTS", "STSM"}
_CONTROL = {
    *(
        "BRA BREAK BSSY BSYNC CALL EXIT RET WARPSYNC ENDCOLLECTIVE NOP BAR DEPBAR LDGDEPBAR MEMBAR ERRBAR"
    ).split(),
    *("CGAERRBAR CCTL ACQBULK PREEXIT YIELD").split(),
}
#: Two predicates are the results, whatever follows.
_PREDICATE_RESULTS = {"ISETP", "FSETP", "DSETP", "HSETP2", "UISETP", "PLOP3", "UPLOP3"}

_REGISTER = re.compile(
    r"^(?P<flags>-?~?\|?)(?P<uniform>U?)R(?P<index>\d+|Z)(?P<parts>(\.\w+)*)\|?(?P<more>(\.\w+)*)$"
)
_PREDICATE = re.compile(r"^(?P<not>!?)(?P<uniform>U?)P(?P<index>\d|T)$")
_CONSTANT = re.compile(r"^(?P<flags>-?~?\|?)c\[(?P<bank>0x[0-9a-f]+)\]\[(?P<address>[^\]]*)\]\|?(\.\w+)*$")
_MEMORY = re.compile(r"^(desc\[UR\d+\])?\[(?P<address>[^\]]*)\]$")
_HEX = re.compile(r"^-?0x[0-9a-f]+$")
_FLOAT = re.compile(r"^[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|INF|QNAN|SNAN)$")
_TERM = re.compile(r"^(?P<uniform>U?)R(?P<index>\d+|Z)(?P<parts>(\.\w+)*)$")


@dataclass(frozen=True)
class Operand:
    """One operand; `kind` is R(egister), U(niform register), P(redicate), Q (uniform predicate),
    C(onstant), I(mmediate), M(emory), T(arget), B(arrier) or S(pecial register)."""

    kind: str
    index: int = ZERO  # of the register, predicate, bank or barrier
    flags: str = ""  # of -, ~, | and !
    part: str = ""  # H0_H0, H1_H1, 64, ...
    uniform: int = -1  # second register of an address
    scale: int = 1  # of an address's first register
    value: int = 0  # immediate, offset or target


@dataclass(frozen=True)
class Control:
    """The assembler's scheduling: cycles to wait afterwards, and counters set and awaited."""

    stall: int
    write_barrier: int
    read_barrier: int
    wait_mask: int


@dataclass
class Instruction:
    address: int
    opcode: str  # with its modifiers
    text: str
    guard: Operand
    control: Control
    result: Operand | None = None
    predicates_out: list[Operand] = field(default_factory=list)
    sources: list[Operand] = field(default_factory=list)
    predicates_in: list[Operand] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.opcode.split(".")[0]

    @property
    def target(self) -> int | None:
        return next((o.value for o in self.sources if o.kind == "T"), None)


@dataclass
class Kernel:
    name: str  # mangled
    registers: int
    shared: int  # bytes, with what the system reserves
    parameter_base: int
    parameter_bytes: int
    parameters: list[tuple[int, int]]  # offset and bytes of each
    constants: dict[int, bytes]
    instructions: list[Instruction]


def kernels(path: Path) -> list[Kernel]:
    """The kernels of a cubin. Raises ValueError for an operand in a form that is not known."""
    cubin = Cubin(path)
    command = [str(toolchain.nvdisasm()), "-json", "-c", str(path)]
    listing = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = []
    for function in listing[1]:
        name = function["function-name"]
        code = cubin.code(name)
        instructions = [
            _instruction(i * INSTRUCTION_BYTES, entry, code, cubin.symbols)
            for i, entry in enumerate(function["sass-instructions"])
        ]
        info = cubin.info(name)
        found.append(
            Kernel(
                name=name,
                registers=cubin.registers[name],
                shared=cubin.shared_bytes(name),
                parameter_base=info.base,
                parameter_bytes=info.bytes,
                parameters=info.parameters,
                constants=cubin.constants(name),
                instructions=instructions,
            )
        )
    return found


def _instruction(address: int, entry: dict[str, str], code: bytes, symbols: dict[str, int]) -> Instruction:
    low = int.from_bytes(code[address : address + 8], "little")
    high = int.from_bytes(code[address + 8 : address + 16], "little")
    control = high >> 41
    operands = entry.get("operands", "")
    predicate = entry.get("predicate", "")
    predicate = "" if predicate == "PR" else predicate  # all of them: what P2R and R2P move
    guard = _predicate(predicate.lstrip("@")) if predicate else Operand("P", TRUE)
    assert guard is not None, predicate
    made = Instruction(
        address=address,
        opcode=entry["opcode"],
        text=f"{predicate} {entry['opcode']} {operands}".strip(),
        guard=guard,
        control=Control(control & 15, control >> 5 & 7, control >> 8 & 7, control >> 11 & 63),
    )
    parsed = [_operand(text.strip(), made, low >> 32, symbols) for text in _split(operands)]
    _distribute(made, [o for o in parsed if o.kind != "S" or o.part != "PR"])
    return made


def _split(operands: str) -> list[str]:
    return [part for part in re.split(r",(?![^\[]*\])", operands) if part]


def _distribute(to: Instruction, operands: list[Operand]) -> None:
    """Results, sources and predicates apart: results come first, predicates read come last."""
    name = to.name
    if name in _PREDICATE_RESULTS:
        to.predicates_out, operands = operands[:2], operands[2:]
    elif name in ("VOTE", "VOTEU"):  # of its results either may be missing; it reads one predicate
        results, operands = operands[:-1], operands[-1:]
        to.predicates_out = [o for o in results if o.kind in "PQ"]
        registers = [o for o in results if o.kind not in "PQ"]
        to.result = registers[0] if registers else to.result
    elif name not in _CONTROL and name not in _STORES:
        while operands and operands[0].kind in "PQ":
            to.predicates_out.append(operands.pop(0))
        if name != "FCHK" and operands:
            to.result = operands.pop(0)
        while operands and operands[0].kind in "PQ" and len(operands) > 1 and operands[1].kind not in "PQ":
            to.predicates_out.append(operands.pop(0))
        while len(operands) > 2 and operands[0].kind in "PQ" and any(o.kind not in "PQ" for o in operands):
            to.predicates_out.append(operands.pop(0))
    to.predicates_in = [o for o in operands if o.kind in "PQ"]
    to.sources = [o for o in operands if o.kind not in "PQ"]
    if name in ("HFMA2", "HADD2", "HMUL2"):  # a pair of constants is one word of the encoding
        constants = [o for o in to.sources if o.kind == "I"]
        if len(constants) == 2:
            to.sources.remove(constants[1])


def _operand(text: str, of: Instruction, immediate: int, symbols: dict[str, int]) -> Operand:
    if (found := _place(text)) is not None:
        return found
    if of.name in ("CALL", "RET") and text in symbols:
        return Operand("T", value=symbols[text])
    if _HEX.match(text):
        if of.name in _CONTROL and of.name not in ("BAR", "DEPBAR"):
            return Operand("T", value=int(text, 16))
        return Operand("I", value=int(text, 16) & 0xFFFFFFFF)
    if _FLOAT.match(text):
        return Operand("I", value=immediate)
    if text.startswith("S") or text == "PR":
        return Operand("S", part=text)
    raise ValueError(f"{of.text}: operand {text!r} is in no known form")


@functools.cache
def _place(text: str) -> Operand | None:
    """A register, predicate, constant, address or barrier."""
    if (predicate := _predicate(text)) is not None:
        return predicate
    if match := _REGISTER.match(text):
        parts = [p for p in (match["parts"] + match["more"]).split(".") if p and p != "reuse"]
        kind = "U" if match["uniform"] else "R"
        return Operand(kind, _index(match["index"]), match["flags"], parts[0] if parts else "")
    if match := _CONSTANT.match(text):
        address = _address(match["address"])
        bank = int(match["bank"], 16)
        return replace(address, kind="C", index=bank, flags=match["flags"], uniform=_indirect(address))
    if match := _MEMORY.match(text):
        return _address(match["address"])
    if match := re.match(r"^B(\d+)$", text):
        return Operand("B", int(match[1]))
    return None


def _predicate(text: str) -> Operand | None:
    match = _PREDICATE.match(text)
    if match is None:
        return None
    index = TRUE if match["index"] == "T" else int(match["index"])
    return Operand("Q" if match["uniform"] else "P", index, match["not"])


def _index(text: str) -> int:
    return ZERO if text == "Z" else int(text)


def _address(text: str) -> Operand:
    """The sum of a scaled register, a uniform register and an offset."""
    index, uniform, offset, scale, part = ZERO, -1, 0, 1, ""
    for term in re.split(r"\+", text):
        if match := _TERM.match(term):
            parts = [p for p in match["parts"].split(".") if p]
            if match["uniform"]:
                uniform = _index(match["index"])
            else:
                index = _index(match["index"])
                scale = next((int(p[1:]) for p in parts if re.match(r"X\d+$", p)), 1)
                part = "64" if "64" in parts else ""
        elif term:
            offset += int(term, 16)
    return Operand("M", index, "", part, uniform, scale, offset)


def _indirect(address: Operand) -> int:
    """The register of a constant's address as one number: 256 and above are uniform ones, -1 is none."""
    if address.uniform >= 0:
        return 256 + address.uniform
    return address.index if address.index != ZERO else -1
