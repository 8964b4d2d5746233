"""Which operands of an instruction are its results, and which it reads."""

from __future__ import annotations

import pytest

from tests.cuda.sass.disassembly import Instruction, _instruction


def _parsed(opcode: str, operands: str) -> Instruction:
    return _instruction(0, {"opcode": opcode, "operands": operands}, bytes(16), {})


@pytest.mark.parametrize(
    ("opcode", "operands", "result", "written", "read"),
    [
        ("VOTEU.ALL", "UP0,P3", None, ["Q0"], ["P3"]),
        ("VOTE.ALL", "P0,P1", None, ["P0"], ["P1"]),
        ("VOTE.ANY", "R3,PT,P0", "R3", ["P7"], ["P0"]),
        ("VOTEU.ANY", "UR5,UPT,P0", "U5", ["Q7"], ["P0"]),
        ("ISETP.GE.AND", "P3,PT,R7,R8,PT", None, ["P3", "P7"], ["P7"]),
        ("IADD3", "R2,P3,R2,R9,RZ", "R2", ["P3"], []),
        ("SEL", "R8,RZ,0x1,!P3", "R8", [], ["P3"]),
    ],
)
def test_results_and_what_is_read(
    opcode: str, operands: str, result: str | None, written: list[str], read: list[str]
) -> None:
    found = _parsed(opcode, operands)
    assert (found.result and f"{found.result.kind}{found.result.index}") == result
    assert [f"{o.kind}{o.index}" for o in found.predicates_out] == written
    assert [f"{o.kind}{o.index}" for o in found.predicates_in] == read
