"""The editor's live camera in a real browser: frames a second, and how late they are.

    python -m stylemap.benchmarks.editor_camera [--seconds 30] [--clients 1] [--output FILE]

The server runs in a process of its own, headless Chromium on the same machine, with a fake camera of 30
frames a second that plays drawn faces, 640×480. Every frame is edited by one reference with a mask and by a
slider. The latency of a frame is from when its picture was taken, as the browser dates it, to the start of
the display frame after the one that it was drawn in. Pictures that newer ones replaced are counted, and have
no latency.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from stylemap.benchmarks import editor
from stylemap.data.faces import FacesDataset

FRAME = (640, 480)
RATE = 30
#: With the demo model on two cores.
GOALS = {"frames_per_second": 25.0, "latency_p95_ms": 120.0}
_READY = "() => stylemap.editor.exact && !stylemap.link.backlog"
_RESET = "Object.assign(stylemap.link, { shotLatencies: [], droppedShots: 0 }), (stylemap.camera.skipped = 0)"
_FIGURES = """(({ link, camera }) => ({
    latencies: link.shotLatencies, dropped: link.droppedShots, skipped: camera.skipped,
}))(stylemap)"""


def write_video(path: Path, faces: int = 12, frames: int = 120) -> Path:
    """Drawn faces that sway, as a camera's file of Chromium plays them: uncompressed, as most cameras send
    pictures of this size (.y4m).

    Args:
        faces: different ones, each for as many frames.
        frames: in all; the file is played again and again.
    """
    side = FRAME[1]
    drawn = FacesDataset(side, faces, seed=3, held_out=True).raw(range(faces))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{FRAME[0]} H{FRAME[1]} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(frames):
            picture = Image.new("RGB", FRAME, (120, 130, 150))
            face = drawn[index * faces // frames].permute(1, 2, 0).contiguous().numpy()
            picture.paste(Image.fromarray(face), ((FRAME[0] - side) // 2 + index % 12 - 6, index % 8 - 4))
            luma, *chroma = picture.convert("YCbCr").split()
            file.write(b"FRAME\n" + luma.tobytes())
            for plane in chroma:
                file.write(plane.reduce(2).tobytes())
    return path


@contextlib.contextmanager
def chromium(video: Path) -> Iterator[Any]:
    """A headless browser whose camera plays a file of JPEGs, and that lets pages use it.

    Raises:
        ImportError, FileNotFoundError: playwright or Chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, editor.BROWSERS)), None)
    if path is None:
        raise FileNotFoundError("Chromium is not installed: apt-get install chromium")
    camera = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    ]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=[*editor.ARGUMENTS, *camera])
        yield browser
        browser.close()


def open_page(browser: Any, address: str) -> Any:
    """A page that edits its camera: a painted reference and a slider, where the model has one."""
    page = editor.open_page(browser, address)
    page.evaluate(
        "stylemap.editor.fillShape([0.3, 0.35, 0.7, 0.35, 0.7, 0.8, 0.3, 0.8].map(scaled), false)".replace(
            "scaled", "(value) => value * stylemap.editor.size"
        )
    )
    page.wait_for_function(_READY)
    page.evaluate(
        "(([name]) => name !== 'amplify' && stylemap.editor.changeSlider(name, { strength: 0.6 }))"
        "(stylemap.editor.model.sliders)"
    )
    page.wait_for_function(_READY)
    page.click("#camera")
    page.wait_for_function("() => stylemap.link.shotLatencies.length > 5")
    return page


def measure(pages: Sequence[Any], seconds: float) -> list[dict[str, Any]]:
    """Let all pages run for so long; one measurement per page."""
    for page in pages:
        page.evaluate(_RESET)
    start = time.perf_counter()
    pages[0].wait_for_timeout(1000 * seconds)
    found = []
    for page in pages:
        spent, figures = time.perf_counter() - start, page.evaluate(_FIGURES)
        latencies = figures["latencies"]
        found.append(
            {
                "frames_per_second": round(len(latencies) / spent, 1),
                "latency_ms": {
                    name: round(editor.quantile(latencies, q), 1)
                    for name, q in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
                },
                "sent_and_replaced": figures["dropped"],
                "not_sent": figures["skipped"],
            }
        )
    return found


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, as JSON holds it."""
    options = ["--threads", str(args.threads), "--precision", args.precision]
    if args.model:
        options += ["--model", args.model]
    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder, "camera.y4m"))
        with editor.server(*options) as (address, _), chromium(video) as browser:
            pages = [open_page(browser, address) for _ in range(args.clients)]
            measure(pages, min(3.0, args.seconds))  # to warm up
            found = measure(pages, args.seconds)
            return {
                "what": "web editor: a camera's picture to its edited frame on the screen",
                **editor.where(browser, pages[0]),
                "settings": {
                    "seconds": args.seconds,
                    "clients": args.clients,
                    "threads": args.threads,
                    "precision": args.precision,
                },
                "goals": GOALS,
                "clients": found,
            }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = editor.arguments(__doc__, "pages with a camera at once")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the server's edits")
    args = parser.parse_args(argv)
    editor.tell(run(args), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
