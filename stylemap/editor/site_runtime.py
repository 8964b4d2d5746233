"""ONNX Runtime for browsers: the files of npm's onnxruntime-web that a site needs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# What runs on the CPU, and what runs on a GPU; the second one is slow on a CPU.
_SCRIPTS = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
)
_PROGRAMS = ("ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.asyncify.wasm")
_LICENCES = ("LICENSE", "ThirdPartyNotices.txt")
_SECONDS = 300


def write_runtime(folder: Path, source: Path | None = None) -> str:
    """Copy what a site needs into ``folder``; the version that it is of.

    The programs (.wasm) are compressed, which hosts of static files seldom do: most of what a page loads.

    Args:
        folder: is made.
        source: the unpacked package, or its folder dist; None takes the pinned version from npm.

    Raises:
        FileNotFoundError: the package lacks a file, or npm is missing.
        RuntimeError: npm failed, or gave another package than the pinned one.
    """
    with _unpacked(source) as package:
        scripts = package / "dist" if (package / "dist").is_dir() else package
        for name in (*_SCRIPTS, *_PROGRAMS):
            if not (scripts / name).is_file():
                raise FileNotFoundError(f"{scripts} lacks {name}: is it {PACKAGE} {VERSION}?")
        folder.mkdir()
        for name in _SCRIPTS:
            shutil.copyfile(scripts / name, folder / name)
        for name in _PROGRAMS:
            packed = gzip.compress((scripts / name).read_bytes(), 6, mtime=0)
            (folder / f"{name}.gz").write_bytes(packed)
        root = scripts.parent if scripts.name == "dist" else scripts
        _copy_licences(root, folder)
        return _version(root)


def _copy_licences(package: Path, folder: Path) -> None:
    """Those in the package; npm's has none, but the Python package of the same project has."""
    spec = importlib.util.find_spec("onnxruntime")
    places = [package, *(Path(place) for place in (spec.submodule_search_locations or () if spec else ()))]
    for name in _LICENCES:
        found = next((place / name for place in places if (place / name).is_file()), None)
        if found is None:
            raise FileNotFoundError(f"no {name} of ONNX Runtime in {' or '.join(map(str, places))}")
        shutil.copyfile(found, folder / name)


def _version(package: Path) -> str:
    try:
        return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


@contextmanager
def _unpacked(source: Path | None) -> Iterator[Path]:
    if source is not None:
        if not source.is_dir():
            raise FileNotFoundError(f"{source} is no folder: name one with the files of {PACKAGE}")
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="stylemap-runtime-") as name:
        folder = Path(name)
        with tarfile.open(_packed(folder)) as archive:
            members = [
                member for member in archive if member.isfile() and ".." not in Path(member.name).parts
            ]
            wanted = {*_SCRIPTS, *_PROGRAMS, *_LICENCES, "package.json"}
            for member in members:
                target = folder / member.name
                if target.name in wanted and member.name.startswith("package/"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = archive.extractfile(member)
                    assert content is not None
                    target.write_bytes(content.read())
        yield folder / "package"


def _packed(folder: Path) -> Path:
    """The package of the pinned version, from npm."""
    npm = shutil.which("npm")
    instead = f"or name a folder with the files of {PACKAGE} {VERSION} (--runtime DIR)"
    if npm is None:
        raise FileNotFoundError(f"npm is missing: install it, {instead}")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm pack took more than {_SECONDS} s: try again, {instead}") from error
    found = list(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        raise RuntimeError(f"npm pack {PACKAGE}@{VERSION} failed: {lines[0]}; try again, {instead}")
    digest = base64.b64encode(hashlib.sha512(found[0].read_bytes()).digest()).decode()
    if digest != _SHA512:
        raise RuntimeError(f"npm's {found[0].name} is not the one that was pinned; {instead}")
    return found[0]
