"""What of the GPU plan takes a real GPU: graphs, streams, threads, waiting for nothing, latency."""

from __future__ import annotations

import functools
import logging
import random
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import EditSession, edit, ops
from stylemap.config import Config
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.images import EditReference, ImageHandle
from stylemap.engine.renderer import PlainRenderer
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import autotune
from tests.helpers.recorder import GraphRecorder
from tests.helpers.tolerances import tolerance
from tests.ops.common import relative_error

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.get_default_device().type != "cuda", reason="needs a GPU"),
]


@pytest.fixture(scope="module", autouse=True)
def _without_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiling its kernels takes minutes and test_triton.py has them; and no choice made here is kept."""
    fastest = autotune._fastest

    def choose(name: str, device: torch.device, candidates: Mapping[str, Callable[[], Any]]) -> str:
        return fastest(name, device, {key: run for key, run in candidates.items() if key != "triton"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEMAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(autotune, "_fastest", choose)
        patch.setattr(autotune, "choices", {})
        yield


@functools.cache
def model(size: int = 64, small: bool = False) -> StyleMapGAN:
    with torch.device("cpu"):
        return recipe_model(Config(size=size, latent_spatial_size=8, small_generator=small))


def photos(size: int = 64) -> Tensor:
    with torch.device("cpu"):
        return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@functools.cache
def opened(
    size: int = 64, precision: str = "fp16", graphs: bool = True
) -> tuple[EditSession, list[ImageHandle]]:
    plan = None if graphs else GpuPlan(model(size), "cuda", precision, capture=GraphRecorder(failing=True))
    used = EditSession(model(size), device="cuda", precision=precision, plan=plan)
    assert isinstance(used.renderer, GpuRenderer)
    return used, [used.add(photo) for photo in photos(size)]


def box(x: int, y: int, side: int, size: int = 64) -> Tensor:
    with torch.device("cpu"):
        mask = torch.zeros(size, size)
        mask[y : y + side, x : x + side] = 1
        return mask


def edits(used: EditSession, handles: list[ImageHandle]) -> dict[str, Callable[[], Tensor]]:
    def part(image: int, x: int, y: int, shift: tuple[int, int]) -> EditReference:
        return used.reference(handles[image], box(x, y, 24), shift)

    one, two = part(1, 10, 20, (6, -3)), part(2, 20, 25, (0, 0))
    return {
        "original": lambda: used.edit(handles[0]),
        "edit": lambda: used.edit(handles[0], [one]),
        "half": lambda: used.edit(handles[0], [one], 0.5),
        "overlap": lambda: used.frames(handles[0], [one, two], [0.3, 1.0]),
        "itself": lambda: used.edit(handles[1], [one]),
        "mix": lambda: used.mix(handles[0], handles[1], "fine"),
        "interpolate": lambda: used.interpolate(handles[0], handles[2], [0.0, 0.4]),
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_replay_has_the_bits_of_eager_runs(precision: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="stylemap.engine.gpu.capture"):
        graphs = edits(*opened(precision=precision))
        for _ in range(3):
            results = {name: run() for name, run in graphs.items()}
    assert [record for record in caplog.records if record.name == "stylemap.engine.gpu.capture"] == []
    assert opened(precision=precision)[0].stats()["captured_graphs"] >= 6
    for name, run in edits(*opened(precision=precision, graphs=False)).items():
        assert torch.equal(run(), results[name]), name


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("size", [64, 256])
def test_images_match_the_model(size: int, precision: str) -> None:
    used, handles = opened(size, precision)
    mask, shift = box(size // 8, size // 4, size // 4, size), (size // 16, -size // 32)
    actual = used.frames(handles[0], [used.reference(handles[1], mask, shift)], [0.5, 1.0])
    with torch.device("cpu"), ops.backend("reference"), torch.no_grad():
        wide = recipe_model(model(size).config, torch.float64).to("cuda")
        ws = wide.encode(photos(size).double().cuda())
        expected = edit.blend(wide, ws[:1], [ws[1:2]], [mask.cuda()], [shift], [0.5, 1.0], chunk=1)
    assert relative_error(actual, expected) < tolerance("network", precision)


def test_results_belong_to_the_current_stream() -> None:
    run = edits(*opened())["edit"]
    expected = run()
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        result = run()
        done = stream.record_event()
    assert not done.query(), "the edit waits for what its caller had queued"
    stream.synchronize()
    assert torch.equal(result, expected)


def test_nothing_waits_for_the_device() -> None:
    runs = edits(*opened())
    for run in runs.values():
        run()
    names = ("original", "edit", "half")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            for name in names:
                runs[name]()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_concurrent_callers() -> None:
    runs = list(edits(*opened()).values())
    expected, wrong = [run() for run in runs], []

    def work(i: int) -> None:
        torch.set_default_device("cuda")
        with torch.cuda.stream(torch.cuda.Stream()):
            for step in range(30):
                chosen = (i + step) % len(runs)
                if not torch.equal(runs[chosen](), expected[chosen]):
                    wrong.append((i, step))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_memory_is_bounded() -> None:
    used, handles = EditSession(model(), device="cuda", precision="fp16"), []
    handles = [used.add(photo) for photo in photos()]
    choose, before = random.Random(0), torch.cuda.memory_allocated()
    for _ in range(300):
        mask = box(choose.randrange(40), choose.randrange(40), choose.choice([2, 8, 20, 60]))
        part = used.reference(handles[1], mask, (choose.randrange(-50, 50), 3))
        used.edit(handles[0], [part], choose.choice([0.5, 1.0]))
    assert used.stats()["captured_graphs"] <= 64
    assert torch.cuda.memory_allocated() < before + (3 << 29), "graphs keep at most 1 GiB of inputs"


def test_a_model_that_does_not_suit_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    with torch.device("cpu"):
        odd = recipe_model(Config(size=16, latent_spatial_size=8, channel_table={8: 12, 16: 8}))
    used = EditSession(odd, device="cuda", precision="fp16")
    assert isinstance(used.renderer, PlainRenderer)
    assert "multiples of 8, and this model has 12" in caplog.text


@pytest.mark.speed
def test_an_edit_is_faster_than_a_decode() -> None:
    """At 256 an edit leaves out three quarters of the work."""
    used, handles = opened(256)
    part = used.reference(handles[1], box(64, 80, 64, 256), (9, -4))
    w = used.stylemap(handles[0])
    decode, edited = (lambda: used.renderer.decode(w)), (lambda: used.edit(handles[0], [part]))

    def milliseconds(run: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(20):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            run()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return statistics.median(times[5:])

    assert milliseconds(edited) < 0.75 * milliseconds(decode)
