"""Every kernel compiles for every architecture, without spilling."""

from __future__ import annotations

import pytest

from stylemap import _build
from tests.cuda import ptxas

pytestmark = pytest.mark.skipif(_build.cuda_home() is None, reason="no nvcc")

ARCHS = {arch.removesuffix("+PTX") for arch in _build.DEFAULT_ARCHS.split()}

#: Mangled name -> why it may spill.
SPILLING: dict[str, str] = {}


@pytest.fixture(scope="module")
def kernels() -> list[ptxas.Kernel]:
    return ptxas.kernels()


def test_every_source_for_every_architecture(kernels: list[ptxas.Kernel]) -> None:
    assert {"80", "86", "90a", "120"} <= ARCHS
    compiled: dict[str, set[str]] = {source: set() for source in ptxas.logs()}
    for kernel in kernels:
        compiled[kernel.source].add(kernel.arch)
    assert compiled
    assert all(archs >= ARCHS for archs in compiled.values()), compiled


def test_no_spills(kernels: list[ptxas.Kernel]) -> None:
    bad = [k for k in kernels if (k.spills or k.stack) and k.name not in SPILLING]
    names = ptxas.readable([k.name for k in bad])
    assert not bad, "\n".join(f"sm_{k.arch} {names[k.name]}: {k.spills} bytes spilled" for k in bad)


def test_two_large_tiles_fit_on_a_multiprocessor(kernels: list[ptxas.Kernel]) -> None:
    """128 threads of at most 255 registers, 48 KiB of stages and what comes with them, of 100 KiB."""
    large = [k for k in kernels if "TileILi128ELi128E" in k.name]
    assert {k.arch for k in large} == ARCHS
    for kernel in large:
        assert 2 * 128 * kernel.registers <= 65536
        reserved, rows = 1024, 128 * 8
        assert 2 * (reserved + 3 * 256 * 64 + rows + kernel.shared) <= 100 << 10


def test_bindings_use_nothing_newer_than_the_oldest_torch() -> None:
    """Names that 2.13 has and 2.10 lacks: the GPU machines' torch is older than the tests'."""
    newer = ("STABLE_TORCH_ERROR_CODE_CHECK", "nativeHandle")
    for path in sorted((_build.source_root() / "torch").glob("*")):
        assert not [name for name in newer if name in path.read_text()], path
