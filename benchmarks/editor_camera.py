"""The editor's live camera in a real browser: frames a second, and how late they are.

    python -m stylemap.benchmarks.editor_camera [--seconds 30] [--clients 1] [--output FILE]

The server runs in a process of its own, headless Chromium on the same machine, with a fake camera of 30
frames a second that plays drawn faces, 640×480, uncompressed. Nothing is attached to the browser while it is
measured: its developer tools would copy every message. Every frame is edited by one reference with a mask and
by a slider. The latency of a frame is from when its picture was taken, as the browser dates it, to the start
of the display frame after the one that it was drawn in. Pictures that newer ones replaced are counted, and
have no latency.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import threading
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
_LEAVING = 1.0  # seconds until a measurement begins: who had attached is gone
#: Of the seconds that begin then: what is shown, in the page's stylemap.measured at their end.
_MEASURE = """(seconds) => {
    const { link, camera } = stylemap;
    delete stylemap.measured;
    setTimeout(() => {
        const from = performance.now();
        Object.assign(link, { shotLatencies: [], droppedShots: 0 });
        camera.skipped = 0;
        setTimeout(() => (stylemap.measured = {
            seconds: (performance.now() - from) / 1000, latencies: [...link.shotLatencies],
            dropped: link.droppedShots, skipped: camera.skipped,
        }), 1000 * seconds);
    }, LEAVING);
}""".replace("LEAVING", str(1000 * _LEAVING))
_WINDOW = (1280, 800)


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


def _camera(video: Path) -> list[str]:
    """Arguments of a browser whose camera plays a file, and that lets pages use it."""
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    ]


@contextlib.contextmanager
def chromium(video: Path) -> Iterator[Any]:
    """A headless browser with such a camera.

    Raises:
        ImportError, FileNotFoundError: playwright or Chromium is not installed.
    """
    with editor.chromium(*_camera(video)) as browser:
        yield browser


class Alone:
    """Such a browser that nothing is attached to but within `pages`."""

    def __init__(self, video: Path, profile: Path) -> None:
        size = ",".join(map(str, _WINDOW))
        command = [editor.browser(), "--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        command += [f"--window-size={size}", *editor.ARGUMENTS, *_camera(video), "about:blank"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        lines = iter(self._process.stderr.readline, "")
        found = next((match for line in lines if (match := re.search(r"ws://\S+", line))), None)
        if found is None:
            raise RuntimeError("the browser did not start")
        self._address = found.group()
        # What it says from now on must not fill the pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    @contextlib.contextmanager
    def pages(self, count: int) -> Iterator[tuple[Any, list[Any]]]:
        """The browser and its pages, as many as these, each in a window of its own."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as tools:
            browser = tools.chromium.connect_over_cdp(self._address)
            context = browser.contexts[0]
            while len(context.pages) < count:
                with context.expect_page():
                    window = {"url": "about:blank", "newWindow": True}
                    browser.new_browser_cdp_session().send("Target.createTarget", window)
            yield browser, context.pages[:count]

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(15)


def prepare(page: Any, address: str) -> None:
    """Let a page edit its camera: a painted reference and a slider, where the model has one."""
    editor.prepare(page, address)
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


def begin(pages: Sequence[Any], seconds: float) -> None:
    """Measure from now on, for so long."""
    for page in pages:
        page.evaluate(_MEASURE, seconds)


def measured(pages: Sequence[Any]) -> list[dict[str, Any]]:
    """One measurement per page, when it is done."""
    found = []
    for page in pages:
        page.wait_for_function("() => stylemap.measured")
        figures = page.evaluate("stylemap.measured")
        latencies = figures["latencies"]
        found.append(
            {
                "frames_per_second": round(len(latencies) / figures["seconds"], 1),
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
    with tempfile.TemporaryDirectory() as folder, editor.server(*editor.options(args)) as (address, _):
        alone = Alone(write_video(Path(folder, "camera.y4m")), Path(folder, "profile"))
        try:
            with alone.pages(args.clients) as (_, pages):
                for page in pages:
                    prepare(page, address)
                page.wait_for_timeout(3000)  # to warm up
                begin(pages, args.seconds)
            time.sleep(args.seconds + _LEAVING + 0.5)
            with alone.pages(args.clients) as (browser, pages):
                found = measured(pages)
                described = editor.where(browser, pages[0])
        finally:
            alone.close()
    return {
        "what": "web editor: a camera's picture to its edited frame on the screen",
        **described,
        "settings": editor.settings(args),
        "goals": GOALS,
        "clients": found,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    args = editor.arguments(__doc__, "pages with a camera at once").parse_args(argv)
    editor.tell(run(args), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
