"""The picture of the editor in README.

python -m tests.editor.screenshot docs/editor.png [--model FILE] [--directions FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

import stylemap
from stylemap import assets
from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.browser import EditorPage, chromium

_ORIGINAL, _EYES, _MOUTH = 4, 17, 5  # places in the gallery
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
        take(browser, address, args.output)
    print(f"wrote {args.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
