"""The GPU plan on the CUDA kernels: whole images and edits in half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import edit, ops
from stylemap.config import Config
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.images import Edit, Image, ImageHandle, edit_reference
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import autotune
from tests.helpers.tolerances import tolerance
from tests.ops.common import relative_error

SIZE = 16
DEVICE = torch.get_default_device()
NORMS = ["LayerNorm", "InstanceNorm2d", "GroupNorm", "BatchNorm2d"]
CASES = [*((norm, "fp16") for norm in NORMS), ("LayerNorm", "fp32"), ("LayerNorm", "bf16")]

SMALL = ("LayerNorm", "fp16", True)


@pytest.fixture(autouse=True)
def _our_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours where there are any, whatever is fastest."""

    def run(
        op: str,
        key: tuple[Any, ...],
        device: torch.device,
        candidates: dict[str, Callable[[], Any]],
        implementation: str = "auto",
    ) -> Any:
        for name in ("tensor_cores_64", "cudnn"):
            try:
                return candidates[name]()
            except NotImplementedError:
                continue
        raise AssertionError(op)

    monkeypatch.setattr(autotune, "run", run)


@functools.cache
def network(norm: str, small: bool) -> tuple[StyleMapGAN, Tensor]:
    """In float64 on the CPU, and two stylemaps."""
    config = Config(
        size=SIZE,
        latent_channel_size=16,
        latent_spatial_size=4,
        mapping_layer_num=1,
        normalize_mode=norm,
        small_generator=small,
        channel_table={4: 24, 8: 40, 16: 24},
    )
    with torch.device("cpu"), ops.backend("reference"), torch.no_grad():
        model = recipe_model(config, torch.float64)
        return model, model.encode(photos().double())


def photos() -> Tensor:
    generator = torch.Generator(device="cpu").manual_seed(3)
    return torch.rand(2, 3, SIZE, SIZE, generator=generator, device="cpu") * 2 - 1


@functools.cache
def renderer(norm: str, small: bool, precision: str) -> GpuRenderer:
    plan = GpuPlan(network(norm, small)[0], DEVICE, precision)
    return GpuRenderer(plan, 1 << 24, torch.float32 if precision == "fp32" else torch.float16)


@pytest.mark.parametrize(("norm", "precision", "small"), [*((*case, False) for case in CASES), SMALL])
def test_images_match_the_model(norm: str, precision: str, small: bool) -> None:
    model, w = network(norm, small)
    plan = renderer(norm, small, precision).plan
    with torch.device("cpu"), ops.backend("reference"), torch.no_grad():
        decoded = model.decode(w)
    assert relative_error(plan.encode(photos().to(DEVICE)).cpu(), w) < tolerance("network", precision)
    assert relative_error(plan.decode(w.float().to(DEVICE)).cpu(), decoded) < tolerance("network", precision)


@pytest.mark.parametrize(("norm", "precision"), CASES)
@torch.no_grad()
def test_edits_match_the_model(norm: str, precision: str) -> None:
    model, ws = network(norm, False)
    used = renderer(norm, False, precision)
    images = [Image(i, used.own(w[None])) for i, w in enumerate(ws)]
    with torch.device("cpu"):
        masks = torch.zeros(2, SIZE, SIZE)
        masks[0, 2:11, 3:12] = 1
        masks[1, 6:16, 0:9] = 1
        layers = [(1, masks[0], (5, -2)), (0, masks[1], (-3, 0))]
        references = [edit_reference(ImageHandle(i), mask, shift, model.config) for i, mask, shift in layers]
        for chosen, weights in ((layers[:1], [0.0, 0.5, 1.0]), (layers, [0.5, 1.0])):
            with ops.backend("reference"):
                sources = [ws[i : i + 1] for i, _, _ in chosen]
                shapes, shifts = [mask for _, mask, _ in chosen], [shift for _, _, shift in chosen]
                expected = edit.blend(model, ws[:1], sources, shapes, shifts, weights)
            with torch.device(DEVICE):
                parts = references[: len(chosen)]
                actual = used.frames(Edit(images[0], parts, [images[i] for i, _, _ in chosen]), weights)
            assert relative_error(actual.cpu(), expected) < tolerance("network", precision)
