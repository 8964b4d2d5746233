"""Every edit against the golden outputs, in float32 and float64."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylemap import edit
from stylemap.model import StyleMapGAN
from tests.helpers import goldens
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

EDITED = ("full_32_8x8", "small_64_8x8")
Run = Callable[[StyleMapGAN, Tensor, str], Tensor]


@functools.cache
def _encoded(case: str, dtype: torch.dtype) -> Tensor:
    return goldens.model(case, dtype).encode(goldens.images(case, dtype))


def _blend(model: StyleMapGAN, w: Tensor, case: str) -> Tensor:
    arrays = goldens.arrays(case)
    shifts = list(zip(arrays["demo_shift_x"].tolist(), arrays["demo_shift_y"].tolist()))
    masks = list(goldens.expected(case, "demo_masks"))
    return edit.blend(model, w[:1], [w[1:2], w[2:3]], masks, shifts, edit.frame_weights(4))


def _local(space: str) -> Run:
    def run(model: StyleMapGAN, w: Tensor, case: str) -> Tensor:
        return edit.local(model, w[:1], w[1:2], goldens.expected(case, "mask_local"), space=space)

    return run


def _transplant(model: StyleMapGAN, w: Tensor, case: str) -> Tensor:
    c = w.shape[-1] // 8
    boxes = [((4 * c, 2 * c), (3 * c, 2 * c), 2 * c, 4 * c), ((0, c), (0, c), 3 * c, 2 * c)]
    return model.decode(edit.transplant(w[:1], w[1:2], boxes))


def _semantic(local: bool) -> Run:
    def run(model: StyleMapGAN, w: Tensor, case: str) -> Tensor:
        side = w.shape[-1]
        direction = goldens.normal("direction", tuple(w.shape[1:]), w.dtype)
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[5 * side // 8 : 7 * side // 8, side // 4 : 3 * side // 4] = True
        return model.decode(edit.manipulate(w[:1], direction, -10, mask if local else None))

    return run


RUNS: dict[str, Run] = {
    "w_interpolation": lambda model, w, case: edit.interpolate(model, w[:1], w[1:2], 0.3),
    "local_w": _local("w"),
    "local_w_plus": _local("w+"),
    "mix_coarse": lambda model, w, case: edit.mix_styles(model, w[:2], w[1:3], take="coarse"),
    "mix_fine": lambda model, w, case: edit.mix_styles(model, w[:2], w[1:3], take="fine"),
    "demo_frames": _blend,
    "transplant": _transplant,
    "semantic_global": _semantic(local=False),
    "semantic_local": _semantic(local=True),
}


# Everything in float32 and float64 on the full generator. The small one has other stylecode widths and a
# larger image, which cost much in float64 and matter to the edits of stylecodes: those alone in both.
CASES = [(case, name, torch.float32) for case in EDITED for name in RUNS]
CASES += [("full_32_8x8", name, torch.float64) for name in RUNS]
CASES += [("small_64_8x8", name, torch.float64) for name in ("local_w_plus", "demo_frames")]


@pytest.mark.parametrize(("case", "name", "dtype"), CASES, ids=str)
def test_edit_agrees_with_golden(case: str, name: str, dtype: torch.dtype) -> None:
    with torch.no_grad():
        actual = RUNS[name](goldens.model(case, dtype), _encoded(case, dtype), case)
    assert relative_error(actual, goldens.expected(case, name)) <= tolerance("golden", dtype)


@pytest.mark.parametrize("name", ["local_w", "local_w_plus"])
def test_local_edit_with_instance_norm(name: str) -> None:
    case, dtype = "instancenorm_32_8x8", torch.float64
    with torch.no_grad():
        actual = RUNS[name](goldens.model(case, dtype), _encoded(case, dtype), case)
    assert relative_error(actual, goldens.expected(case, name)) <= tolerance("golden", dtype)
