"""Running engines: refusals, and with a stand-in for TensorRT everything up to its calls."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap import edit  # noqa: E402
from stylemap.export import Runtime, ports  # noqa: E402
from stylemap.export.description import describe  # noqa: E402
from stylemap.export.package import Package  # noqa: E402
from stylemap.export.sessions import engine as sessions  # noqa: E402
from stylemap.export.sessions.engine import EngineSession, check_runnable  # noqa: E402
from stylemap.export.sidecar import Sidecar, digest, sidecar_path  # noqa: E402
from tests.export import fake_tensorrt  # noqa: E402
from tests.helpers import tiny  # noqa: E402
from tests.helpers.goldens import relative_error  # noqa: E402
from tests.helpers.tolerances import tolerance  # noqa: E402

H200 = ("NVIDIA H200", "9.0")


def sidecar(graph: str, engine: Path, **changes: Any) -> Sidecar:
    result = Sidecar(
        description=describe(tiny.model(), graph, "fp32", {}),
        engine=digest(engine),
        onnx="",
        package="tensorrt",
        version=fake_tensorrt.__version__,
        gpus=("9.0",),
        gpu=H200[0],
        batches=(1, 1, 4),
        max_references=2 if "editor" in graph else 0,
        version_compatible=False,
        weight_stripped=False,
        verified={},
        layers={},
    )
    return dataclasses.replace(result, **changes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that there is this GPU, with this version of TensorRT."""

    def install(here: tuple[str, str] | None = H200, version: str = fake_tensorrt.__version__) -> None:
        monkeypatch.setattr(sessions, "gpu", lambda: here)
        monkeypatch.setattr(sessions, "load", lambda name: Package(name, fake_tensorrt, version))

    return install


@pytest.fixture
def engines(
    exported: Path, tmp_path: Path, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of stand-in engines of all graphs, and a CPU that plays the GPU."""
    machine()
    for graph in ports.ALL:
        path = tmp_path / f"{graph}.engine"
        shutil.copy(exported / f"{graph}.onnx", path)
        sidecar_path(path).write_text(sidecar(graph, path).to_json())
    monkeypatch.setattr(EngineSession, "_current_device", staticmethod(lambda: torch.device("cpu")))
    monkeypatch.setattr(EngineSession, "_stream", lambda self: 0)
    monkeypatch.setattr(EngineSession, "_capture", lambda self, context: None)
    fake_tensorrt.calls.clear()
    return tmp_path


def test_edits(engines: Path) -> None:
    runtime, model = Runtime(engines, "tensorrt"), tiny.model()
    a, b, c = tiny.stylemaps(3).split(1)
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 6:30] = 1
    assert relative_error(runtime.encode(tiny.photos(3)), tiny.stylemaps(3)) < tolerance("network", "fp32")
    found = runtime.edit(a, [b, c], [mask, mask.T], [(2, 3), (-4, 0)], [0.5, 1.0])
    expected = edit.blend(model, a, [b, c], [mask, mask.T], [(2, 3), (-4, 0)], [0.5, 1.0])
    assert relative_error(found, expected) < tolerance("network", "fp32")


def test_more_references_than_the_engine_takes(engines: Path) -> None:
    w = tiny.stylemaps(4)
    mask = torch.ones(tiny.SIZE, tiny.SIZE)
    found = Runtime(engines, "tensorrt").edit(w[:1], list(w[1:].split(1)), [mask] * 3)
    assert relative_error(found, tiny.model().decode(w[3:])) < tolerance("network", "fp32")


def test_edit_of_prepared_images(engines: Path) -> None:
    runtime, (a, b) = Runtime(engines, "tensorrt"), tiny.stylemaps(2).split(1)
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 6:30] = 1
    original, reference = runtime.prepare(a), runtime.prepare(b)
    found = runtime.edit_prepared(original, [reference], [mask], [(2, 3)], 0.5)
    assert relative_error(found, edit.blend(tiny.model(), a, [b], [mask], [(2, 3)], 0.5)) < tolerance(
        "network", "fp32"
    )
    with pytest.raises(ValueError, match="takes 1 to 2 references, got 3"):
        runtime.edit_prepared(original, [reference] * 3, [mask] * 3)


def test_batches_above_the_profile_are_split(engines: Path) -> None:
    w = tiny.stylemaps(7)
    images = Runtime(engines / "decoder.engine").decode(w)
    assert relative_error(images, tiny.model().decode(w)) < tolerance("network", "fp32")
    assert {shapes["w"][0] for shapes in fake_tensorrt.calls} == {4, 3}


def test_results_do_not_change_with_the_next_call(engines: Path) -> None:
    session = EngineSession(engines / "decoder.engine")
    w = tiny.stylemaps(2)
    first = session.run({"w": w[:1]})["images"]
    kept = first.clone()
    session.run({"w": w[1:]})
    assert torch.equal(first, kept)


def test_the_recent_shapes_are_kept(engines: Path) -> None:
    session = EngineSession(engines / "mapping.engine")
    for batch in (1, 2, 3, 1, 4, 1):
        session.run({"z": torch.ones(batch, 8)})
    prepared = [key[0][0] for key in session._prepared]
    assert prepared == [2, 3, 4, 1]
    # Preparing a shape runs it once more than it was asked for.
    assert len(fake_tensorrt.calls) == 6 + 4


def test_a_captured_graph_is_replayed(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Graph:
        def __init__(self, context: Any) -> None:
            self.context = context

        def replay(self) -> None:
            self.context.execute_async_v3(0)

    monkeypatch.setattr(EngineSession, "_capture", lambda self, context: Graph(context))
    session = EngineSession(engines / "decoder.engine")
    for w in tiny.stylemaps(3).split(1):
        assert relative_error(session.run({"w": w})["images"], tiny.model().decode(w)) < tolerance(
            "network", "fp32"
        )


def test_a_broken_engine(engines: Path) -> None:
    path = engines / "decoder.engine"
    path.write_bytes(b"broken")
    sidecar_path(path).write_text(sidecar("decoder", path).to_json())
    with pytest.raises(RuntimeError, match=r"TensorRT cannot load .*decoder\.engine: the plan is broken$"):
        EngineSession(path)


def test_the_engine_of_another_gpu_or_version(machine: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "decoder.engine"
    path.write_bytes(b"")
    plain = sidecar("decoder", path)
    lasting = dataclasses.replace(plain, version_compatible=True)
    machine(None)
    with pytest.raises(RuntimeError, match=r"needs an NVIDIA GPU of compute capability 9\.0; there is none"):
        check_runnable(path, plain)
    machine(("NVIDIA L4", "8.9"))
    with pytest.raises(RuntimeError, match=r"for compute capability 9\.0, but NVIDIA L4 has 8\.9: build"):
        check_runnable(path, plain)
    machine(H200, "10.14.1")
    with pytest.raises(RuntimeError, match=r"built by tensorrt 10\.13\.0, but 10\.14\.1 is installed"):
        check_runnable(path, plain)
    check_runnable(path, lasting)
    machine(H200, "10.2.0")
    with pytest.raises(RuntimeError, match=r"built by tensorrt 10\.13\.0, but 10\.2\.0 is installed"):
        check_runnable(path, lasting)
    machine()
    check_runnable(path, plain)


@pytest.mark.parametrize("stale", [False, True])
def test_weight_stripped_engines_need_their_onnx_file(stale: bool, engines: Path) -> None:
    path = engines / "decoder.engine"
    sidecar_path(path).write_text(sidecar("decoder", path, weight_stripped=True, onnx="0" * 64).to_json())
    if stale:
        path.with_suffix(".onnx").write_bytes(b"another")
    message = (
        "is not the file that decoder.engine was built from" if stale else r"needs decoder\.onnx beside it"
    )
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        EngineSession(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_onnx_files_beside_engines_serve(exported: Path, tmp_path: Path) -> None:
    for graph in ("encoder", "decoder"):
        shutil.copy(exported / f"{graph}.onnx", tmp_path)
        (tmp_path / f"{graph}.engine").write_bytes(b"")
    assert Runtime(tmp_path).provider == "onnxruntime"
    with pytest.raises(FileNotFoundError, match=r"has no decoder\.engine\.json beside it"):
        Runtime(tmp_path / "decoder.engine")
