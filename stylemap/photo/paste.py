"""Put an edited square back into the photo it was cut from."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stylemap.photo import colour, resample
from stylemap.photo.crop import Crop

Mode = Literal["difference", "replace"]
MODES: tuple[Mode, ...] = get_args(Mode)

# A cell counts as changed where the mean difference of its pixels, of the largest channel, is above this
# many of 255 levels. Edits move even far cells by about half a level: every layer normalises by the mean
# over the whole image. Replacing a cell shows what the model cannot draw of it, so that a change must be
# seen for it to be worth that.
THRESHOLDS: dict[Mode, float] = {"difference": 2.0, "replace": 8.0}
# The photo's own detail, which the model does not draw, stays where an edit changes less than the first
# number of levels, and is gone where it changes more than the second: there it is detail of what the edit
# took away, and would show through as its ghost.
_DETAIL = (8.0, 40.0)
_DETAIL_REACH = 3 / 128  # of the side: how far a large change takes the detail around it along
_CELLS = 32  # across the square: how finely it is told what changed
_FEATHER = 1 / 16  # of the side: over this distance an edit fades around the changed cells
_EDGE = 1 / 16  # of the side: over this distance an edit fades out at the border of the crop
_MARGIN = 3 / 128  # of the side: this much of it shows nothing of the edit; Lanczos reaches 3 pixels
_REACH = 1 / 16  # of the side: an edit changes what lies this near to its mask, as its cells are that large


def paste(
    pixels: Image.Image,
    profile: bytes | None,
    crop: Crop,
    before: Tensor,
    after: Tensor,
    *,
    mode: Mode = "difference",
    mask: Tensor | None = None,
    threshold: float | None = None,
) -> Image.Image:
    """An RGB photo with the edit of its crop in it.

    "difference" adds what the edit changed, after - before, to the photo: the photo's own detail stays.
    Where the change is large, the detail fades with what it belonged to. "replace" shows ``after`` itself.
    Either is weighted by `weights`: pixels where those are 0 keep their values.

    Args:
        profile: of the pixels; the squares are sRGB.
        before, after: the unedited and the edited square as decoded, 3 x S x S in [-1, 1].
        mask, threshold: of `weights`; by default the threshold of the mode in `THRESHOLDS`.

    Raises:
        ValueError: an unknown mode, squares of different shapes, a crop without a pixel of the photo.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if (
        before.ndim != 3
        or before.shape[0] != 3
        or before.shape != after.shape
        or len({*before.shape[1:]}) != 1
    ):
        raise ValueError(
            f"before and after must be squares 3 x S x S of one size, got {tuple(before.shape)} and "
            f"{tuple(after.shape)}"
        )
    first, second = (_levels(square) for square in (before, after))
    limit = THRESHOLDS[mode] if threshold is None else threshold
    weight = weights(first, second, crop, pixels.size, limit, mask)
    if not bool(weight.any()):
        return pixels
    gone = torch.ones_like(weight) if mode == "replace" else _detail_gone(first, second)
    box = resample.pixel_box(pixels.size, crop)
    planes = torch.cat([first, second, weight[None], gone[None]]).movedim(0, 2).numpy()
    found = resample.spread(planes, crop, box)
    share, gone_there = np.clip(found[..., 6:7], 0, 1), np.clip(found[..., 7:], 0, 1)
    region = pixels.crop(box)
    own = np.asarray(colour.to_srgb(region, profile)).astype(np.float32)
    # after + what stays of the photo's detail, own - before: photo + difference where all of it stays.
    shown = found[..., 3:6] + (1 - gone_there) * (own - found[..., :3])
    wanted = own + share * (shown - own)
    # In the photo's own colours too it is the difference that is added: what did not change is not rounded.
    moved = colour.values_from_srgb(wanted, profile) - colour.values_from_srgb(own, profile)
    result = np.clip(np.round(np.asarray(region) + moved), 0, 255).astype(np.uint8)
    result = np.where(share > 0, result, np.asarray(region))
    merged = pixels.copy()
    merged.paste(Image.fromarray(result), box[:2])
    return merged


def weights(
    before: Tensor,
    after: Tensor,
    crop: Crop,
    photo: tuple[int, int],
    threshold: float,
    mask: Tensor | None = None,
) -> Tensor:
    """How much of the edit each pixel of the square shows: float32 S x S in [0, 1].

    1 in the changed cells, falling to 0 around them, and towards those borders of the square that lie in the
    photo.

    Args:
        before, after: 3 x S x S, 0 to 255.
        photo: its width and height.
        threshold: a cell counts as changed where the mean difference in it is larger.
        mask: S x S, on where the edit was asked for; cells far from it do not count.
    """
    size = before.shape[-1]
    cell = max(1, size // _CELLS)
    difference = (after - before).abs().amax(0)
    changed = F.avg_pool2d(difference[None, None], cell, ceil_mode=True) > threshold
    if mask is not None:
        # What an edit changes elsewhere, an eye's colour with the mouth, nobody asked for.
        reach = round(_REACH * size)
        wanted = (mask.reshape(1, 1, size, size) > 0.5).float().cpu()
        changed &= F.max_pool2d(F.max_pool2d(wanted, 2 * reach + 1, 1, reach), cell, ceil_mode=True) > 0
    full = changed.float().repeat_interleave(cell, 2).repeat_interleave(cell, 3)[..., :size, :size]
    return _feathered(full, max(2, round(_FEATHER * size)))[0, 0] * _towards_border(crop, photo, size)


def _detail_gone(before: Tensor, after: Tensor) -> Tensor:
    """Where the photo's detail belongs to what an edit took away: float32 S x S in [0, 1]."""
    size = before.shape[-1]
    change = (after - before).abs().amax(0)[None, None]
    reach = max(1, round(_DETAIL_REACH * size))
    smooth = F.avg_pool2d(change, 3, stride=1, padding=1, count_include_pad=False)
    spread = F.max_pool2d(smooth, 2 * reach + 1, stride=1, padding=reach)
    low, high = _DETAIL
    share = ((spread - low) / (high - low)).clamp(0, 1)
    blurred = F.avg_pool2d(share, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    return _smooth_step(blurred)[0, 0]


def _smooth_step(x: Tensor) -> Tensor:
    """0 to 1 with level ends."""
    return x * x * (3 - 2 * x)


def _feathered(full: Tensor, width: int) -> Tensor:
    """1 where ``full`` (N x 1 x S x S) is, 0 from ``width`` pixels on, smooth between."""
    radius = width // 2
    window = torch.hann_window(2 * radius + 1, periodic=False)[1:-1]
    window = window / window.sum()
    grown = F.max_pool2d(full, 2 * radius + 1, stride=1, padding=radius)
    reach = len(window) // 2
    smooth = F.pad(grown, (reach, reach, reach, reach), mode="replicate")
    smooth = F.conv2d(F.conv2d(smooth, window.reshape(1, 1, 1, -1)), window.reshape(1, 1, -1, 1))
    return torch.where(full > 0, full, smooth.clamp(0, 1))


def _towards_border(crop: Crop, photo: tuple[int, int], size: int) -> Tensor:
    """Falls to 0 at the sides of the square that run through the photo; S x S."""
    corners, (width, height) = crop.corners, photo
    position = (torch.arange(size) + 0.5) / size
    ramps = []
    for side in range(4):  # top, right, bottom, left
        a, b = corners[side], corners[(side + 1) % 4]
        beyond = (
            max(a[0], b[0]) <= 1
            or max(a[1], b[1]) <= 1
            or min(a[0], b[0]) >= width - 1
            or min(a[1], b[1]) >= height - 1
        )
        distance = position if side in (0, 3) else 1 - position
        ramp = torch.ones(size) if beyond else ((distance - _MARGIN) / _EDGE).clamp(0, 1)
        ramps.append(_smooth_step(ramp))
    return (ramps[0] * ramps[2])[:, None] * (ramps[3] * ramps[1])[None, :]


def _levels(square: Tensor) -> Tensor:
    """[-1, 1] as 0 to 255, limited to it as pictures are; float32 on the CPU."""
    return (square.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
