"""The editor without a server: size of the site, time to open it, time and error of an edited frame.

    python -m stylemap.benchmarks.editor_web [--seconds 30] [--site DIR] [--runtime DIR] [--output FILE]

Without --site, one of the bundled model is written to a temporary folder. It is served from loopback by
Python's http.server, which sends no headers for threads, to headless Chromium without a service worker: the
model has one thread. A recorded stroke is played as 60 pointer events a second. "render" is the time of one
frame in the worker, "latency" from a pointer event to the screen, as in `stylemap.benchmarks.editor`.
The error is that of the last picture, in [-1, 1], against the same scene and masks in Python.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stylemap
from stylemap import assets
from stylemap.benchmarks import editor, machine, results

GOALS = {"megabytes": 40.0, "open_s": 5.0, "render_p50_ms": 150.0, "error": 1e-3}
_IDLE = "() => stylemap.editor.exact && !stylemap.link.backlog"
_RESULT = """async () => {
    const { transport } = await import("./static/transport.js");
    const answer = await transport.fetch("/api/sessions/browser/result?float");
    return [...new Float32Array(await answer.arrayBuffer())];
}"""
_RECORD = """() => {
    window.times = [];
    stylemap.link.addEventListener("frame", ({ detail }) => window.times.push(detail.renderMs));
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a site that is served until the end of the block."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _site(args: argparse.Namespace) -> Iterator[Path]:
    if args.site:
        yield args.site
        return
    from stylemap.editor.site import write_site

    path = _bundled()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_site(stylemap.load(path), site, path.name, runtime=args.runtime)
        yield site


def _bundled() -> Path:
    path = assets.demo_model()
    if path is None:
        raise FileNotFoundError("this copy of stylemap bundles no model")
    return path


def _open(browser: Any, address: str) -> tuple[Any, float]:
    """The page, and the seconds until its first frame."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, service_workers="block")
    context.add_init_script(editor.NO_EXAMPLE)
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_function(_IDLE)
    return page, time.perf_counter() - begin


def _error(page: Any) -> float:
    """The largest difference of the picture from Python's."""
    from stylemap.editor.clients import Snapshot
    from stylemap.editor.scene import Scene
    from stylemap.editor.server import open_studio

    studio = open_studio(stylemap.load(_bundled()), "demo")
    size, scene = page.evaluate("stylemap.editor.size"), page.evaluate("stylemap.editor.scene")
    masks = {}
    for number in page.evaluate("stylemap.editor.maskNumbers()"):
        pixels = page.evaluate("(n) => [...stylemap.editor.masks.get(n)]", number)
        masks[number] = np.array(pixels, np.uint8).reshape(size, size)
    recipe = studio._recipe(studio.open_client(), Snapshot(Scene(**scene), masks, 0, True), None)
    expected = studio.composer.render(recipe).numpy()
    made = np.array(page.evaluate(_RESULT), np.float32).reshape(expected.shape)
    return float(abs(made - expected).max())


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, as JSON holds it."""
    with _site(args) as site, served(site) as address, editor.chromium() as browser:
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        page, opened = _open(browser, address)
        page.evaluate("stylemap.editor.setBrush({ radius: stylemap.editor.size / 10 })")
        editor.play([page], 1.0)  # to warm up
        page.evaluate("stylemap.editor.clearMask()")
        page.wait_for_function(_IDLE)
        page.evaluate("Object.assign(stylemap.link, { latencies: [], mostPending: 0, shownFrames: 0 })")
        page.evaluate(_RECORD)
        (painted,) = editor.play([page], args.seconds)
        times = page.evaluate("window.times")
        model = page.evaluate("stylemap.editor.model")
        render = {f"p{q}": round(editor.quantile(times, q / 100), 1) for q in (50, 95)}
        return {
            "what": "web editor without a server",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {**machine.describe(torch.device("cpu")), "browser": browser.version},
            "model": {"name": model["name"], "size": model["size"], "stylemap": model["stylemap"]},
            "settings": {"seconds": args.seconds, "backend": model["backend"], "threads": model["threads"]},
            "goals": GOALS,
            "megabytes": round(size / 1e6, 1),
            "open_s": round(opened, 2),
            "render_ms": render,
            "painting": painted,
            "error": None if args.site else _error(page),
        }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--site", type=Path, help="a site that is there; its error is not measured")
    parser.add_argument("--runtime", type=Path, help="as for stylemap export web")
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args(argv)
    result = run(args)
    for name in ("megabytes", "open_s", "render_ms", "painting", "error"):
        print(f"{name}: {result[name]}")
    if args.output:
        print(f"wrote {results.write(result, args.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
