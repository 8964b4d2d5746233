"""What the kernels' sm_90 machine code must not contain, and how long the products' loop may be."""

from __future__ import annotations

import pytest

from stylemap import _build
from tests.cuda import ptxas
from tests.cuda.sass import build, loops, toolchain
from tests.cuda.sass.disassembly import Kernel, kernels
from tests.helpers import needs

pytestmark = needs.when(not toolchain.missing(), f"no {toolchain.missing()}")

#: Warp instructions for each product of the loop, in the tile that large layers take.
MOST_PER_PRODUCT = 3.5
LARGE_TILE = "TileILi128ELi128E"


@pytest.fixture(scope="module")
def code() -> list[Kernel]:
    built = build.build(_build.source_root())
    found = [kernel for cubin in sorted(built.programs.glob("*.cubin")) for kernel in kernels(cubin)]
    assert found
    return found


def told(wrong: dict[str, object]) -> str:
    names = ptxas.readable(list(wrong))
    return "\n".join(f"{names[name]}: {what}" for name, what in wrong.items())


def test_no_local_memory(code: list[Kernel]) -> None:
    wrong = {k.name: i.text for k in code for i in k.instructions if i.name in loops.LOCAL}
    assert not wrong, told(dict(wrong))


def test_kernels_with_products_have_a_loop(code: list[Kernel]) -> None:
    with_products = [k for k in code if any(i.name == "HMMA" for i in k.instructions)]
    assert with_products
    assert all(loops.main_loop(k) for k in with_products)
    assert sum(LARGE_TILE in k.name for k in with_products) >= 4, "both convolutions in both types"


def test_no_division_in_a_main_loop(code: list[Kernel]) -> None:
    wrong = {}
    for kernel in code:
        loop = loops.main_loop(kernel)
        if loop and (found := loop.uses(loops.DIVISION)):
            wrong[kernel.name] = found
    assert not wrong, told(dict(wrong))


def test_halves_are_converted_by_instructions(code: list[Kernel]) -> None:
    wrong = {
        k.name: i.text
        for k in code
        for i in k.instructions
        if any(o.kind == "I" and o.value == loops.HALF_SCALE for o in i.sources)
    }
    assert not wrong, told(dict(wrong))
    assert any(i.opcode == "HADD2.F32" for k in code for i in k.instructions)


#: Accesses to global memory.
GLOBAL = ("LDG", "STG", "LDGSTS", "ATOMG", "RED", "LD", "ST")


def test_kernels_wait_before_they_touch_memory(code: list[Kernel]) -> None:
    """Each is started before the one before it has ended, and the compiler may move what it reads."""
    wrong: dict[str, object] = {}
    for kernel in code:
        names = [i.name for i in kernel.instructions]
        waits = [at for at, name in enumerate(names) if name == "ACQBULK"]
        touched = [at for at, name in enumerate(names) if name in GLOBAL]
        if not waits or (touched and touched[0] < waits[0]):
            wrong[kernel.name] = kernel.instructions[touched[0]].text if touched else "no wait"
    assert not wrong, told(wrong)


def test_instructions_for_each_product(code: list[Kernel]) -> None:
    large = {k.name: loop for k in code if LARGE_TILE in k.name and (loop := loops.main_loop(k))}
    wrong = {
        name: f"{loop.instructions_per_product:.2f}"
        for name, loop in large.items()
        if loop.instructions_per_product > MOST_PER_PRODUCT
    }
    assert not wrong, told(dict(wrong))
