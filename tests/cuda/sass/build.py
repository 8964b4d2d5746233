"""A source tree's CUDA kernels as sm_90 machine code, linked with the engine that executes it.

`library` is loaded by ``stylemap.ops`` in place of the CPU library: the launchers and bindings are the
tree's own, compiled; the CUDA runtime is the engine's.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stylemap import _build
from tests.cuda.sass.toolchain import CACHE, ENGINE

REPOSITORY = Path(__file__).resolve().parents[3]
#: Elements from which on elementwise kernels count in 64 bits: low enough for small tests to reach both.
INDEX_LIMIT = 1000
ENGINE_FLAGS = (
    "-std=c++20 -O3 -march=native -ffp-contract=off -fno-math-errno -frounding-math -fPIC -Wall -Wextra"
)
BINDING_FLAGS = "-std=c++20 -O1 -fPIC -w"
NVCC_FLAGS = "-O3 -std=c++20 --expt-relaxed-constexpr -Xcompiler=-fPIC --cudart=none"
ARCH = "-gencode=arch=compute_90,code=sm_90"
#: More compilers than this at a time are too much for a machine of two cores.
JOBS = 2


@dataclass(frozen=True)
class Built:
    library: Path
    programs: Path  # the folder that the engine reads

    @property
    def environment(self) -> dict[str, str]:
        return {"STYLEMAP_SASS_PROGRAMS": str(self.programs)}


def build(csrc: Path) -> Built:
    """Compile the kernels and bindings of the folder csrc as far as sources have changed.

    Raises RuntimeError with the compiler's message.
    """
    work = CACHE / hashlib.sha256(str(csrc.resolve()).encode()).hexdigest()[:12]
    sources = mirror(csrc, work / "csrc")
    ninja(work, _library_rules(sources, work))
    return Built(work / "libstylemap_sass.so", work)


def mirror(source: Path, target: Path) -> Path:
    """A copy whose files are touched only when their contents change: a checkout rebuilds nothing."""
    files = {f.relative_to(source) for kind in ("*.h", "*.cu", "*.cpp", "*.py") for f in source.rglob(kind)}
    for name in files:
        copy, contents = target / name, (source / name).read_bytes()
        if not copy.is_file() or copy.read_bytes() != contents:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(contents)
    for copy in list(target.rglob("*.*")):
        if copy.is_file() and copy.relative_to(target) not in files:
            copy.unlink()
    return target


def ninja(work: Path, lines: list[str]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    with _build._lock(work):
        (work / "build.ninja").write_text("\n".join(lines) + "\n")
        command = [_build._ninja(), "-C", str(work), "-j", str(JOBS)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"building for the interpreter of machine code failed:\n{run.stdout[-8000:]}")


def rules(csrc: Path) -> list[str]:
    """Rules to compile the engine, kernels and bindings."""
    home = _build.cuda_home()
    if home is None:
        raise RuntimeError(_build.NO_NVCC)
    torch = _build.torch_root()
    cxx, include = _build._cxx(), f"-isystem {home / 'include'}"
    torch_include = f"-isystem {torch / 'include'} -isystem {torch / 'include/torch/csrc/api/include'}"
    define = f"-DSM_INDEX_LIMIT={INDEX_LIMIT}"
    nvcc = f"{home / 'bin' / 'nvcc'} -ccbin {cxx} {NVCC_FLAGS} {ARCH} {define} -I{csrc}"
    binding = f"-DTORCH_TARGET_VERSION={_build.TORCH_ABI} -DUSE_CUDA -DSM_CUDA_KEY=CPU -I{csrc} {include}"
    commands = {
        "engine": f"{cxx} {ENGINE_FLAGS} {include} {torch_include} -MMD -MF $out.d -c $in -o $out",
        "binding": f"{cxx} {BINDING_FLAGS} {binding} {torch_include} -MMD -MF $out.d -c $in -o $out",
        # The cubin is one of the files that nvcc makes on its way.
        "kernel": f"rm -rf $stem.keep && mkdir $stem.keep && {nvcc} -MMD -MF $stem.d --keep"
        " --keep-dir $stem.keep -c $in -o $stem.o && mv $stem.keep/*.cubin $stem.cubin && rm -r $stem.keep",
        "program": f"cd {REPOSITORY} && {sys.executable} -m tests.cuda.sass.program $work/$in $work/$out",
        "link": f"{cxx} -o $out $in -L{torch / 'lib'} {' '.join(_build.LINK_FLAGS)} -lc10 -Wl,-Bsymbolic",
    }
    lines = []
    for name, command in commands.items():
        lines += [f"rule {name}", f"  command = {command}"]
        if name in ("engine", "binding", "kernel"):
            lines += [f"  depfile = {'$stem' if name == 'kernel' else '$out'}.d", "  deps = gcc"]
    return lines


def kernel_lines(source: Path, stem: str) -> list[str]:
    copy = mirror(ENGINE.parent, CACHE / "reader")
    reader = " ".join(str(copy / name) for name in ("program.py", "disassembly.py", "cubin.py"))
    return [
        f"build {stem}.o | {stem}.cubin: kernel {source}",
        f"  stem = {stem}",
        f"build {stem}.program: program {stem}.cubin | {reader}",
    ]


def engine_objects(with_torch: bool = True) -> list[str]:
    """The engine, compiled once for all trees; without torch for programs that have no tensors."""
    work = CACHE / "engine"
    sources = sorted(mirror(ENGINE, work / "sources").glob("*.cpp"))
    lines = rules(_build.source_root())
    ninja(work, lines + [f"build {source.stem}.o: engine {source}" for source in sources])
    return [str(work / f"{s.stem}.o") for s in sources if with_torch or s.stem != "torch_memory"]


def _library_rules(csrc: Path, work: Path) -> list[str]:
    lines = [f"work = {work}", *rules(csrc)]
    objects = engine_objects()
    bindings = [
        *sorted((csrc / "torch").glob("*_cuda.cpp")),
        *(csrc / "torch" / f"{name}.cpp" for name in ("library", "passes", "tensor")),
    ]
    for source in bindings:
        objects.append(f"binding_{source.stem}.o")
        lines.append(f"build {objects[-1]}: binding {source}")
    for source in sorted((csrc / "kernels").rglob("*.cu")):
        stem = "_".join(source.relative_to(csrc / "kernels").with_suffix("").parts)
        objects.append(f"{stem}.o")
        lines += kernel_lines(source, stem)
    return [*lines, f"build libstylemap_sass.so: link {' '.join(objects)}"]
