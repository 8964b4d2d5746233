"""Draws cells.svg, the cells of a mask and its ring: python docs/drawings.py [FOLDER]"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.edit.masks import as_mask

SIZE, ROOM, GAP = 128, 224, 40
OFF, REFERENCE, RING, INK = "#f3f1ec", "#5b7fb5", "#e0863c", "#222"
MASK = "ellipse:0.5,0.62,0.3,0.2"


def cells(mask: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Of a mask S x S, side x side: the cells that are on, and those with neighbours of the other kind."""
    on = F.avg_pool2d(mask[None, None].float(), SIZE // side) > 0.5
    padded = F.pad(on.float(), (1, 1, 1, 1), mode="replicate")
    mixed = F.max_pool2d(padded, 3, 1) != -F.max_pool2d(-padded, 3, 1)
    return on[0, 0], mixed[0, 0]


def panel(left: int, side: int, mask: Tensor) -> list[str]:
    """One resolution: a square for every cell, the mask's outline over them, and a caption."""
    on, ring = cells(mask, side)
    step = ROOM / side
    parts = [f'<rect x="{left}" y="0" width="{ROOM}" height="{ROOM}" fill="{OFF}"/>']
    for y in range(side):
        colours = [RING if ring[y, x] else REFERENCE if on[y, x] else OFF for x in range(side)]
        x = 0
        for colour, run in groupby(colours):
            count = len(list(run))
            parts.append(
                f'<rect x="{left + x * step:g}" y="{y * step:g}" width="{count * step:g}" height="{step:g}" '
                f'fill="{colour}"/>'
            )
            x += count
    lines = "".join(
        f"M{left + i * step:g} 0V{ROOM}M{left} {i * step:g}h{ROOM}" for i in range(side + 1) if side <= 32
    )
    parts.append(f'<path d="{lines}" stroke="#fff" stroke-width="1"/>')
    cx, cy, rx, ry = (ROOM * float(value) for value in MASK.removeprefix("ellipse:").split(","))
    parts.append(
        f'<ellipse cx="{left + cx:g}" cy="{cy:g}" rx="{rx:g}" ry="{ry:g}" fill="none" stroke="{INK}" '
        'stroke-width="2"/>'
    )
    share = float(ring.float().mean())
    caption = f"{side} × {side}: {share:.0%} convolved"
    parts.append(f'<text x="{left}" y="{ROOM + 22}" font-size="13" fill="{INK}">{caption}</text>')
    return parts


def main(folder: Path) -> None:
    """Writes the drawing."""
    mask = as_mask(MASK, SIZE, torch.device("cpu"))[0, 0]
    sides = (8, 32, 128)
    width = len(sides) * (ROOM + GAP) - GAP
    parts = [part for i, side in enumerate(sides) for part in panel(i * (ROOM + GAP), side, mask)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {ROOM + 32}" font-family="sans-serif">'
    )
    (folder / "cells.svg").write_text("\n".join([head, *parts, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
