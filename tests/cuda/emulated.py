"""The CUDA kernels and bindings compiled by g++ for the emulation in ``tests/cuda/emulation``.

``pytest -p tests.cuda.emulated`` makes ``stylemap.ops`` run on them in place of its CPU kernels, so
that every operator test executes the CUDA code. ``STYLEMAP_EMULATION_SANITIZER`` chooses what watches
them: ``address`` (also undefined behaviour; the default), ``thread`` (data races within a launch) or
``none``. The sanitizer's runtime has to be preloaded: `environment` says how.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from stylemap import _build

EMULATION = Path(__file__).resolve().parent / "emulation"
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
    "none": [],
}
#: Elements from which on the kernels count in 64 bits: low enough for small tests to reach both.
INDEX_LIMIT = 1000
FLAGS = "-std=c++20 -fPIC -g1 -fno-strict-aliasing -Wall -Wextra -Wno-unknown-pragmas".split()


def sanitizer() -> str:
    return os.environ.get("STYLEMAP_EMULATION_SANITIZER", "address")


def environment(sanitizer: str, **variables: str) -> dict[str, str]:
    """Environment of a process that runs the emulated kernels under a sanitizer."""
    libraries = {
        "address": ["libasan.so", "libstdc++.so"],
        "thread": ["libtsan.so", "libstdc++.so"],
        "none": [],
    }
    found = [
        subprocess.check_output([_build._cxx(), f"-print-file-name={name}"], text=True).strip()
        for name in libraries[sanitizer]
    ]
    return {
        **os.environ,
        "STYLEMAP_EMULATION_SANITIZER": sanitizer,
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TRITON_INTERPRET": "1",
        "TSAN_OPTIONS": "exitcode=66:halt_on_error=1",
        **variables,
    }


def build(sanitizer: str) -> Path:
    """The emulated library, compiled as far as sources have changed."""
    root = _build.source_root()
    work = root.parent / "build" / "emulation" / sanitizer
    work.mkdir(parents=True, exist_ok=True)
    with _build._lock(work):
        (work / "build.ninja").write_text(_ninja_file(root, sanitizer))
        run = subprocess.run([_build._ninja(), "-C", str(work)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"compiling the emulated kernels failed:\n{run.stdout[-8000:]}")
    return work / "libstylemap_emulated.so"


def _ninja_file(root: Path, sanitizer: str) -> str:
    torch = _build.torch_root()
    bindings = [
        *root.glob("torch/*_cuda.cpp"),
        *(root / "torch" / f"{name}.cpp" for name in ("library", "passes", "tensor")),
    ]
    kernels = sorted(root.rglob("*.cu"))
    flags = " ".join(FLAGS)
    watched = f"-O1 {' '.join(SANITIZERS[sanitizer])}"
    runtime = {"address": "-DEMULATION_ASAN", "thread": "-DEMULATION_TSAN", "none": ""}[sanitizer]
    includes = f"-I{EMULATION} -I{root}"
    torch_includes = f"-isystem {torch / 'include'} -isystem {torch / 'include/torch/csrc/api/include'}"
    defines = f"-DTORCH_TARGET_VERSION={_build.TORCH_ABI} -DUSE_CUDA -DSM_CUDA_KEY=CPU"
    rules = {
        "kernel": f"{flags} {watched} -DSM_INDEX_LIMIT={INDEX_LIMIT} {includes} -x c++",
        "binding": f"{flags} -O1 {defines} {includes} {torch_includes}",
        "runtime": f"{flags} -O2 {runtime} {includes}",
    }
    lines = []
    for name, options in rules.items():
        lines += [f"rule {name}", f"  command = {_build._cxx()} {options} -MMD -MF $out.d -c $in -o $out"]
        lines += ["  depfile = $out.d", "  deps = gcc"]
    link = f"{_build._cxx()} {watched} -o $out $in -L{torch / 'lib'} {' '.join(_build.LINK_FLAGS)}"
    lines += ["rule link", f"  command = {link}"]
    sources = [("kernel", s) for s in kernels] + [("binding", s) for s in sorted(bindings)]
    sources.append(("runtime", EMULATION / "emulation.cpp"))
    objects = []
    for rule, source in sources:
        objects.append(f"{source.parent.name}_{source.name}.o")
        lines.append(f"build {objects[-1]}: {rule} {source}")
    lines.append(f"build libstylemap_emulated.so: link {' '.join(objects)}")
    return "\n".join(lines) + "\n"


def pytest_load_initial_conftests() -> None:
    """Hand out the emulated library wherever the CPU library is asked for, from the first import on."""
    library = build(sanitizer())
    _build.ensure = lambda name="cpu": library  # type: ignore[assignment]
