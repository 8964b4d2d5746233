"""The driver of all CUDA launchers: without torch, for a GPU or for the interpreter of machine code.

    python -m tests.cuda.driver.build gpu|interpreter [PROGRAM ARGUMENT...]

builds it and runs it, with a program such as compute-sanitizer in front of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from stylemap import _build

SOURCES = Path(__file__).resolve().parent
#: Of the repository: what the installation has compiled is linked, and nothing compiled again.
BUILD = SOURCES.parents[2] / "build"
FLAGS = "-std=c++20 -O2 -Wall -Wextra -Wno-missing-field-initializers"


@dataclass(frozen=True)
class Program:
    path: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *before: str, **variables: str) -> int:
        """Its exit status, run by the program ``before``."""
        environment = {**os.environ, **self.variables, **variables}
        return subprocess.run([*before, str(self.path)], env=environment, check=False).returncode


def for_gpu() -> Program:
    """Linked with the kernels that ``python -m stylemap._build`` has compiled.

    Raises RuntimeError where it has not, or the driver does not compile.
    """
    kernels = sorted((BUILD / "native" / "cuda").glob("kernels_*.cu.o"))
    if not kernels:
        raise RuntimeError("no compiled kernels: python -m stylemap._build first")
    home = _build.cuda_home()
    if home is None:
        raise RuntimeError(_build.NO_NVCC)
    runtime = f"-L{home / 'lib64'} -lcudart_static -lrt -ldl -lpthread"
    return Program(_link(BUILD / "driver" / "gpu", kernels, home, runtime))


def for_interpreter() -> Program:
    """Linked with the interpreter in the place of the CUDA runtime.

    Raises RuntimeError where a compiler or disassembler is missing, or something does not compile.
    """
    from tests.cuda.sass import build, toolchain

    home = _build.cuda_home()
    if home is None or toolchain.missing():
        raise RuntimeError(f"no {toolchain.missing()}")
    built = build.build(_build.source_root())
    kernels = [file.with_suffix(".o") for file in sorted(built.programs.glob("*.cubin"))]
    engine = [Path(name) for name in build.engine_objects(with_torch=False)]
    return Program(_link(BUILD / "driver" / "sass", [*kernels, *engine], home, ""), built.environment)


def _link(work: Path, objects: list[Path], home: Path, libraries: str) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    include = f"-I{_build._word(_build.source_root())} -isystem {_build._word(home / 'include')}"
    lines = [
        f"rule cxx\n  command = {_build._cxx()} {FLAGS} {include} -MMD -MF $out.d -c $in -o $out",
        "  depfile = $out.d\n  deps = gcc",
        f"rule link\n  command = {_build._cxx()} -o $out $in {libraries}",
    ]
    sources = sorted(SOURCES.glob("*.cpp"))
    lines += [f"build {source.stem}.o: cxx {_build._node(source)}" for source in sources]
    linked = [f"{source.stem}.o" for source in sources] + [_build._node(path) for path in objects]
    lines.append(f"build driver: link {' '.join(linked)}")
    with _build._lock(work):
        (work / "build.ninja").write_text("\n".join(lines) + "\n")
        run = subprocess.run([_build._ninja(), "-C", str(work)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"the driver does not compile:\n{run.stdout[-4000:]}")
    return work / "driver"


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in ("gpu", "interpreter"):
        print(__doc__, file=sys.stderr)
        return 2
    program = for_gpu() if arguments[0] == "gpu" else for_interpreter()
    return program.run(*arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
