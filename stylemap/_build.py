"""Compile the native libraries: plain shared objects, built by ninja, stamped with what they were built from.

Used by ``setup.py`` at install time, by ``stylemap.ops`` when a source has changed or torch was not
there at install time, and by ``python -m stylemap._build``. Imports nothing but the standard library.

Environment
    STYLEMAP_NATIVE       auto (default): compile where there is a C++ compiler, else run on plain PyTorch and
                          say so once; 1: a missing compiler is an error; 0: compile and use nothing
    STYLEMAP_CUDA         auto (default): build the CUDA library where there is nvcc; 1: require it; 0: do not
    STYLEMAP_CUDA_ARCHS   compute capabilities to compile for, default "80+PTX 86 90a 120"; with +PTX also
                          as the intermediate code that newer GPUs translate for themselves
    CXX, CUDA_HOME        compiler and toolkit to use
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
TORCH_ABI = "0x020a000000000000ULL"  # torch 2.10: the oldest release the libraries load in
DEFAULT_ARCHS = "80+PTX 86 90a 120"
MINIMUM_TORCH = (2, 10)
WITHOUT = "it runs on plain PyTorch, several times slower"
NO_NVCC = "nvcc was found neither in CUDA_HOME, on PATH nor in /usr/local/cuda"

CXX_FLAGS = (
    "-O3 -std=c++20 -fPIC -fvisibility=hidden -fopenmp-simd -fno-math-errno -fno-trapping-math -Wall -Wextra"
).split()
NVCC_FLAGS = "-O3 -std=c++20 --expt-relaxed-constexpr -Xcompiler=-fPIC,-fvisibility=hidden".split()
LINK_FLAGS = "-shared -Wl,--no-as-needed -ltorch -ltorch_cpu".split()


class BuildError(RuntimeError):
    """The native libraries cannot be built; the message says what is missing."""


def source_root() -> Path:
    """The folder csrc/ of a checkout, or the copy that travels inside an installed package."""
    for candidate in (PACKAGE.parent / "csrc", PACKAGE / "_csrc"):
        if (candidate / "torch").is_dir():
            return candidate
    raise BuildError(
        f"the C++ sources are missing: neither {PACKAGE.parent / 'csrc'} nor {PACKAGE / '_csrc'} exists"
    )


def torch_root() -> Path:
    """The installed torch, found without importing it (works inside pip's build isolation)."""
    spec = importlib.util.find_spec("torch")
    candidates = [Path(spec.origin).parent] if spec and spec.origin else []
    candidates += [Path(sysconfig.get_path(kind)) / "torch" for kind in ("purelib", "platlib")]
    for candidate in candidates:
        if (candidate / "include" / "torch" / "csrc" / "stable").is_dir():
            return candidate
    raise MissingToolError("torch is not installed: `pip install torch` (2.10 or newer) first")


def has_torch() -> bool:
    """Whether there is a torch to compile against."""
    try:
        return bool(torch_root())
    except MissingToolError:
        return False


def torch_version(root: Path) -> tuple[int, int]:
    text = (root / "version.py").read_text()
    version = text.split("__version__ = ")[1].split("'")[1]
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def cuda_home() -> Path | None:
    """The CUDA toolkit, or None where there is no nvcc."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc")
    found = [Path(named)] if named else []
    found += [Path(nvcc).resolve().parent.parent] if nvcc else []
    for home in [*found, Path("/usr/local/cuda")]:
        # An nvcc on PATH may be a wrapper that lies outside its toolkit.
        if (home / "bin" / "nvcc").is_file() and (home / "include" / "cuda_runtime_api.h").is_file():
            return home
    return None


class MissingToolError(BuildError):
    """Nothing is wrong but that a compiler, ninja or torch is not there."""


def choice_of(variable: str) -> str:
    """The environment's STYLEMAP_NATIVE or STYLEMAP_CUDA: auto, 0 or 1.

    Raises BuildError for another value.
    """
    choice = os.environ.get(variable, "auto")
    if choice not in ("auto", "0", "1"):
        raise BuildError(f"{variable} must be auto, 0 or 1, got {choice!r}")
    return choice


def _check_platform() -> None:
    if sys.platform != "linux":
        raise MissingToolError(f"native kernels are built on Linux alone, and this is {sys.platform}")


def wanted_libraries() -> list[str]:
    """Which libraries STYLEMAP_NATIVE and STYLEMAP_CUDA ask for on this machine."""
    choice = choice_of("STYLEMAP_CUDA")
    if choice_of("STYLEMAP_NATIVE") == "0":
        return []
    _check_platform()
    if choice == "1" and cuda_home() is None:
        raise BuildError(
            "STYLEMAP_CUDA=1, but nvcc was found neither in CUDA_HOME, on PATH nor in /usr/local/cuda"
        )
    with_cuda = choice != "0" and cuda_home() is not None and bool(_sources("cuda"))
    return ["cpu", "cuda"] if with_cuda else ["cpu"]


def library_path(name: str) -> Path:
    return PACKAGE / "lib" / f"libstylemap_{name}.so"


def ensure(name: str = "cpu") -> Path:
    """Path of library ``name`` ("cpu" or "cuda"), compiled now if it is missing or out of date.

    Raises BuildError with the reason where it cannot be built, or where STYLEMAP_NATIVE=0 wants none. What
    did not compile is not tried again until sources, compiler or flags change; `main` always tries.
    """
    if choice_of("STYLEMAP_NATIVE") == "0":
        raise BuildError("STYLEMAP_NATIVE=0 asks for none")
    _check_platform()
    if is_current(library_path(name), name):
        return library_path(name)
    target = library_path(name)
    if not os.access(PACKAGE, os.W_OK):
        target = _user_cache() / "stylemap" / fingerprint(name)[:16] / target.name
        if is_current(target, name):
            return target
    with _lock(target.parent):
        if not is_current(target, name):
            _refuse_again(target, name)
            print(
                f"stylemap: compiling its {name} library (once)",
                file=sys.stderr,
                flush=True,
            )
            build(name, target)
    return target


def _user_cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named) if named else Path.home() / ".cache"
    except RuntimeError:  # no HOME, and a user without an entry
        raise BuildError(
            f"{PACKAGE} cannot be written and there is no home folder: name one for the compiled library with"
            " XDG_CACHE_HOME"
        ) from None


def _failure(target: Path) -> Path:
    return target.with_suffix(".failed.json")


def _attempt(name: str) -> dict[str, str]:
    """What decides whether library ``name`` compiles."""
    return {"fingerprint": fingerprint(name), "compiler": _cxx(), "cuda": str(cuda_home())}


def _refuse_again(target: Path, name: str) -> None:
    """Raises BuildError where the same was tried before and did not compile."""
    try:
        failed = json.loads(_failure(target).read_text())
    except (OSError, ValueError):
        return
    attempt = _attempt(name)
    if {key: failed.get(key) for key in attempt} == attempt:
        raise BuildError(
            f"compiling the {name} library failed before ({failed.get('reason')});"
            f" `{sys.executable} -m stylemap._build` tries again and shows everything"
        )


def is_current(library: Path, name: str) -> bool:
    """Whether ``library`` was built from the sources and flags of now."""
    try:
        stamp = json.loads(library.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return False
    return library.is_file() and stamp.get("fingerprint") == fingerprint(name)


def fingerprint(name: str) -> str:
    """Hash of every source and header and of the flags that go into library ``name``."""
    root = source_root()
    digest = hashlib.sha256(" ".join([*CXX_FLAGS, *NVCC_FLAGS, *LINK_FLAGS, TORCH_ABI]).encode())
    if name == "cuda":
        digest.update(_archs().encode())
    headers = [path for suffix in ("*.h", "*.cuh") for path in root.rglob(suffix)]
    for path in sorted([*_sources(name), *headers]):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(name: str, target: Path) -> None:
    """Compile library ``name`` into ``target``: incremental in a checkout, written whole or not at all."""
    torch = torch_root()
    if torch_version(torch) < MINIMUM_TORCH:
        raise BuildError(
            f"torch {'.'.join(map(str, torch_version(torch)))} is too old: stylemap needs 2.10 or newer"
        )
    root = source_root()
    stamp = {"fingerprint": fingerprint(name), "torch": ".".join(map(str, torch_version(torch)))}
    with contextlib.ExitStack() as stack:
        if (root.parent / "setup.py").is_file() and os.access(root.parent, os.W_OK):
            work = root.parent / "build" / "native" / name
            work.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(work))
        else:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stylemap-build-")))
        (work / "build.ninja").write_text(_ninja_file(name, root, torch))
        run = subprocess.run(
            [_ninja(), "-C", str(work)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if run.returncode != 0:
            lines = [line for line in run.stdout.splitlines() if "error" in line.lower()]
            failed = _attempt(name) | {"reason": lines[0][:300] if lines else "no reason told"}
            _failure(target).write_text(json.dumps(failed))
            raise BuildError(f"compiling the {name} library failed:\n{run.stdout[-8000:]}")
        _failure(target).unlink(missing_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(work / "library.so", temporary)
        target.with_suffix(".json").unlink(missing_ok=True)
        os.replace(temporary, target)
        target.with_suffix(".json").write_text(json.dumps(stamp))


def _sources(name: str) -> list[Path]:
    root = source_root()
    kernels, bindings = root / "kernels", root / "torch"
    if name == "cpu":
        files = [
            *kernels.rglob("*_cpu.cpp"),
            *(f for f in bindings.glob("*.cpp") if not f.stem.endswith("_cuda")),
        ]
    elif name == "cuda":
        files = [*kernels.rglob("*.cu"), *bindings.glob("*_cuda.cpp"), *bindings.glob("tensor.cpp")]
    else:
        raise ValueError(f"name must be 'cpu' or 'cuda', got {name!r}")
    return sorted(files)


def _archs() -> str:
    return os.environ.get("STYLEMAP_CUDA_ARCHS", DEFAULT_ARCHS)


def _gencode(arch: str) -> str:
    number = arch.removesuffix("+PTX")
    codes = [f"sm_{number}"] + [f"compute_{number}"] * arch.endswith("+PTX")
    return " ".join(f"-gencode=arch=compute_{number},code={code}" for code in codes)


def _word(text: str | Path) -> str:
    """One word of a command in a ninja file, whatever characters it has."""
    return shlex.quote(str(text)).replace("$", "$$")


def _node(path: Path) -> str:
    """A path in a build statement of a ninja file."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _ninja_file(name: str, root: Path, torch: Path) -> str:
    include = torch / "include"
    defines = f"-DTORCH_TARGET_VERSION={TORCH_ABI} -DSTYLEMAP_FOR_TORCH"
    api = include / "torch" / "csrc" / "api" / "include"
    includes = f"-I{_word(root)} -isystem {_word(include)} -isystem {_word(api)}"
    link = f"-L{_word(torch / 'lib')} {' '.join(LINK_FLAGS)}"
    lines = [
        f"cxx = {_cxx()}",
        f"cflags = {' '.join(CXX_FLAGS)} {defines} {includes}",
        "rule cxx",
        "  command = $cxx $cflags -MMD -MF $out.d -c $in -o $out",
        "  depfile = $out.d\n  deps = gcc\n  description = $in",
    ]
    if name == "cuda":
        home = cuda_home()
        if home is None:
            raise BuildError(NO_NVCC)
        codes = " ".join(_gencode(arch) for arch in _archs().split())
        lines[1] += f" -DUSE_CUDA -isystem {_word(home / 'include')}"
        lines += [
            "rule nvcc",
            # The assembler's report of registers and spills is kept: tests/cuda/test_compile.py reads it.
            f"  command = {_word(home / 'bin' / 'nvcc')} -ccbin $cxx {' '.join(NVCC_FLAGS)} {codes}"
            f" -I{_word(root)} -Xptxas=-v -MMD -MF $out.d -c $in -o $out > $out.log 2>&1"
            " || (cat $out.log; false)",
            "  depfile = $out.d\n  deps = gcc\n  description = $in",
        ]
        link += f" -L{_word(home / 'lib64')} -lcudart_static -lrt -ldl -lpthread"
    lines += ["rule link", f"  command = $cxx -o $out $in {link}", "  description = link"]
    objects = []
    for source in _sources(name):
        objects.append(str(source.relative_to(root)).replace("/", "_") + ".o")
        lines.append(f"build {objects[-1]}: {'nvcc' if source.suffix == '.cu' else 'cxx'} {_node(source)}")
    lines.append(f"build library.so: link {' '.join(objects)}")
    return "\n".join(lines) + "\n"


def _cxx() -> str:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler and shutil.which(compiler):
        return _word(compiler)
    if not compiler or not shutil.which(compiler.split()[0]):
        raise MissingToolError(
            f"no C++ compiler: {compiler or 'g++'} was not found (Debian: apt-get install g++)"
        )
    return compiler.replace("$", "$$")  # a command with arguments, as in "ccache g++"


def _ninja() -> str:
    spec = importlib.util.find_spec("ninja")
    if spec and spec.origin:
        import ninja

        return str(Path(ninja.BIN_DIR) / "ninja")
    found = shutil.which("ninja")
    if not found:
        raise MissingToolError("ninja is not installed: `pip install ninja`")
    return found


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One build at a time per folder, also among processes started together."""
    folder.mkdir(parents=True, exist_ok=True)
    import fcntl  # which only platforms have that libraries are built on

    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> None:
    try:
        for name in wanted_libraries():
            path = library_path(name)
            up_to_date = is_current(path, name)
            if not up_to_date:
                build(name, path)
            print(f"{name}: {path} ({'up to date' if up_to_date else 'built'})")
    except MissingToolError as error:
        if choice_of("STYLEMAP_NATIVE") == "1":
            sys.exit(f"stylemap: {error}")
        print(f"stylemap: {error}; {WITHOUT}")
    except BuildError as error:
        sys.exit(f"stylemap: {error}")


if __name__ == "__main__":
    main()
