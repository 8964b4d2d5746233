"""What the assembler said of every kernel when the CUDA library was built: registers, spills, shared memory.

``python -m tests.cuda.ptxas`` prints the table.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stylemap import _build

_ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


@dataclass(frozen=True)
class Kernel:
    source: str  # path below csrc/
    name: str  # mangled
    arch: str
    registers: int
    stack: int  # bytes
    spills: int  # bytes stored and loaded
    shared: int  # static, in bytes


def logs() -> dict[str, str]:
    """Source -> the compiler's log, of the library as it would be built now."""
    root = _build.source_root()
    work = root.parent / "build" / "native" / "cuda"
    library = _build.library_path("cuda")
    sources = {str(path.relative_to(root)): work / _log_name(path, root) for path in root.rglob("*.cu")}
    if not (_build.is_current(library, "cuda") and all(log.is_file() for log in sources.values())):
        _build.build("cuda", library)
    return {source: log.read_text() for source, log in sorted(sources.items())}


def kernels() -> list[Kernel]:
    found = []
    for source, text in logs().items():
        name = arch = ""
        frame = (0, 0, 0)
        for line in text.splitlines():
            if match := _ENTRY.search(line):
                name, arch = match.groups()
            elif match := _FRAME.search(line):
                frame = (int(match[1]), int(match[2]), int(match[3]))
            elif name and (match := _USED.search(line)):
                shared = int(match[2] or 0)
                found.append(Kernel(source, name, arch, int(match[1]), frame[0], sum(frame[1:]), shared))
                name = ""
    return found


def readable(names: list[str]) -> dict[str, str]:
    """Mangled -> what one would call it."""
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    short = [re.sub(r"stylemap::(\(anonymous namespace\)::)?", "", line) for line in text.splitlines()]
    return {name: re.sub(r"^void |\(.*", "", line) for name, line in zip(names, short)}


def _log_name(source: Path, root: Path) -> str:
    return str(source.relative_to(root)).replace("/", "_") + ".o.log"


def main() -> None:
    rows = kernels()
    names = readable(sorted({kernel.name for kernel in rows}))
    print(f"{'registers':>9} {'spills':>6} {'shared':>6}  sm    kernel")
    for k in rows:
        print(f"{k.registers:>9} {k.spills:>6} {k.shared:>6}  {k.arch:<5} {names[k.name]}")


if __name__ == "__main__":
    main()
