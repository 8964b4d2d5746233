"""What a cache may grow to by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stylemap import EditSession, memory
from stylemap.ops import _native
from tests.helpers import needs, tiny

MIB = 1 << 20


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def system(tmp_path: Path) -> tuple[Path, Path]:
    """Folders as /proc and /sys/fs/cgroup of a machine with 900 MiB free."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    write(proc, meminfo=f"MemTotal: {2000 << 10} kB\nMemAvailable: {900 << 10} kB\nHugePages_Total: 0\n")
    write(cgroups)
    return proc, cgroups


def test_what_the_machine_has_free(system: tuple[Path, Path]) -> None:
    assert memory.free_memory(*system) == 900 * MIB


@pytest.mark.parametrize("group", ["/a/b", "/of/another/namespace"])
def test_a_limit_of_a_group_counts(system: tuple[Path, Path], group: str) -> None:
    """Also that of a group around it, and in a container, where its own group is the root."""
    proc, cgroups = system
    write(proc / "self", cgroup=f"0::{group}\n")
    write(cgroups / "a" / "b", memory__max="max\n", memory__current=f"{3 * MIB}\n")
    limited = cgroups / "a" if group == "/a/b" else cgroups
    write(
        limited,
        memory__max=f"{600 * MIB}\n",
        memory__current=f"{200 * MIB}\n",
        memory__stat=f"anon 5\ninactive_file {50 * MIB}\n",
    )
    assert memory.free_memory(*system) == 450 * MIB


def test_a_limit_of_an_older_system_counts(system: tuple[Path, Path]) -> None:
    proc, cgroups = system
    write(proc / "self", cgroup="5:cpu,cpuacct:/\n4:memory:/box\n0::/\n")
    write(
        cgroups / "memory" / "box",
        memory__limit_in_bytes=f"{100 * MIB}\n",
        memory__usage_in_bytes=f"{120 * MIB}\n",
        memory__stat="total_inactive_file 0\n",
    )
    assert memory.free_memory(*system) == 0


def test_an_unknown_system_gets_the_usual(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory.os, "sysconf_names", {})
    assert memory.free_memory(tmp_path, tmp_path) is None
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert memory.usual_cache("cpu") == memory.USUAL_CACHE
    monkeypatch.setattr(memory, "free_memory", lambda: 10 * MIB)
    assert memory.usual_cache("cpu") == 5 * MIB
    assert memory.usual_cache("cuda") == memory.USUAL_CACHE


@needs.when(_native.loaded(), "the native library is not built")
def test_sessions_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 10 * MIB)
    assert EditSession(tiny.model()).stats()["cache_limit_bytes"] == 5 * MIB
    assert EditSession(tiny.model(), cache_bytes=7).stats()["cache_limit_bytes"] == 7
    with pytest.raises(ValueError, match="cache_bytes"):
        EditSession(tiny.model(), cache_bytes=-1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_tells() -> None:
    free = memory.free_memory()
    assert free is not None
    assert free >= 0
