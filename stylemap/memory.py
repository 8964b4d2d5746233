"""How much memory is free: what a cache may grow to where nobody says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Of a cache on a device whose memory is not looked at, or where nobody says what is free.
USUAL_CACHE = 2 << 30


def usual_cache(device_type: str) -> int:
    """Bytes for what sessions on a device keep of images: on a CPU half of what is free now."""
    free = free_memory() if device_type == "cpu" else None
    return USUAL_CACHE if free is None else free // 2


def free_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process can still take without others being swapped out, also within the limits of the
    control groups (of a container, say) it is in; None where the system does not tell.
    """
    found = [*_machine(proc), *_groups(proc, cgroups)]
    return max(min(found), 0) if found else None


def _machine(proc: Path) -> Iterator[int]:
    fields = _fields(proc / "meminfo")
    if "MemAvailable:" in fields:
        yield fields["MemAvailable:"] * 1024
    elif "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", ()):
        yield os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """Of every control group that has a limit, of either version, what is left of it."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            root, limit, used, file_cache = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, file_cache = cgroups / "memory", "total_inactive_file"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        # In a container its own group is the root, whatever it is called outside.
        for folder in dict.fromkeys([group, *group.parents, root]):
            if folder != root and root not in folder.parents:
                continue
            most, taken = _read(folder / limit).strip(), _read(folder / used).strip()
            if most.isdecimal() and taken.isdecimal():
                yield int(most) - int(taken) + _fields(folder / "memory.stat").get(file_cache, 0)


def _fields(path: Path) -> dict[str, int]:
    """Names and numbers of a file with one of each on every line."""
    pairs = (line.split()[:2] for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
