"""The documentation's picture of the editor; README's animation of painting where the output is a .gif.

`test_pictures` makes both, by the command

    python -m tests.editor.screenshot docs/editor.png [--model FILE] [--directions FILE]

each one alone.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import stylemap
from stylemap import assets
from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.browser import EditorPage, chromium

_ORIGINAL, _EYES, _MOUTH = 4, 17, 5  # places in the gallery
_SHOWN, _STEPS, _PAUSE_MS = (960, 600), 5, 120
_STROKES = {
    "eyes": [((0.26, 0.46), (0.74, 0.46)), ((0.74, 0.55), (0.26, 0.55))],
    "mouth": [((0.38, 0.74), (0.62, 0.74)), ((0.6, 0.79), (0.4, 0.79))],
}


def take(browser: Any, address: str, path: Path) -> None:
    """An edit with two references and a slider, as a PNG of 1440×900."""
    with EditorPage(browser, address, viewport={"width": 1440, "height": 900}) as page:
        page.do("stylemap.editor.update({ references: [] })")
        page.photo(_ORIGINAL, "original")
        page.do("stylemap.editor.setBrush({ radius: stylemap.editor.size * 0.085 })")
        for photo, part in ((_EYES, "eyes"), (_MOUTH, "mouth")):
            page.photo(photo, "reference")
            for stroke in _STROKES[part]:
                page.stroke(*stroke)
        if page.do("stylemap.editor.model.sliders.length"):
            page.slide("#slider-100", 0.6)
        page.page.mouse.move(2, 2)
        page.page.wait_for_function("() => document.querySelectorAll('#frames li').length > 1")
        page.page.wait_for_timeout(1500)  # frames, thumbnails and the figures of the last second
        page.page.screenshot(path=path)


class _Camera:
    """Pictures of the page, one after each pause; steps: of them between two places of a stroke."""

    def __init__(self, page: EditorPage, steps: int) -> None:
        self.page, self.pictures, self.steps = page, list[Image.Image](), steps

    def take(self, count: int = 1) -> None:
        for _ in range(count):
            data = self.page.page.screenshot(type="jpeg", quality=95)
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            self.pictures.append(picture.resize(_SHOWN, Image.Resampling.LANCZOS))

    def stroke(self, *points: tuple[float, float]) -> None:
        """A stroke with a picture at every step."""
        mouse = self.page.page.mouse
        box = self.page.page.locator("#result").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        mouse.move(*places[0])
        mouse.down()
        for (x, y), (to_x, to_y) in itertools.pairwise(places):
            for step in range(1, self.steps + 1):
                mouse.move(x + (to_x - x) * step / self.steps, y + (to_y - y) * step / self.steps)
                self.page.page.wait_for_timeout(_PAUSE_MS)
                self.take()
        mouse.up()
        self.page.settle()
        self.take(2)


def record(browser: Any, address: str, path: Path, steps: int = _STEPS) -> None:
    """The same edit being painted, as an animation of some ten seconds.

    steps: pictures of every stroke.
    """
    with EditorPage(browser, address, viewport={"width": 1440, "height": 900}) as page:
        page.do("stylemap.editor.update({ references: [] })")
        page.photo(_ORIGINAL, "original")
        page.do("stylemap.editor.setBrush({ radius: stylemap.editor.size * 0.085 })")
        camera = _Camera(page, steps)
        camera.take(5)
        for photo, part in ((_EYES, "eyes"), (_MOUTH, "mouth")):
            page.photo(photo, "reference")
            camera.take(3)
            for stroke in _STROKES[part]:
                camera.stroke(*stroke)
        if page.do("stylemap.editor.model.sliders.length") > 1:
            for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
                page.slide("#slider-100", strength)
                camera.take()
        page.page.mouse.move(2, 2)
        camera.take(8)
    palette = camera.pictures[-1].quantize(256, dither=Image.Dither.NONE)
    frames = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in camera.pictures]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=160, loop=0, optimize=True)


def _studio(args: argparse.Namespace) -> Studio:
    model = args.model or assets.demo_model()
    if model is None:
        raise SystemExit("this copy bundles no model: name one with --model FILE")
    name = Path(model).name
    return serving.studio(model=stylemap.load(model), name=name, directions=args.directions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.editor.screenshot", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--directions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with serving.running(_studio(args)) as address, chromium() as browser:
        picture = record if args.output.suffix == ".gif" else take
        picture(browser, address, args.output)
    print(f"wrote {args.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
