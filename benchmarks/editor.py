"""The web editor in a real browser: how long a stroke takes to the screen.

    python -m stylemap.benchmarks.editor [--seconds 30] [--clients 1] [--model FILE] [--precision fp32|bf16]
        [--output FILE]

The server runs in a process of its own, headless Chromium (drawing without a GPU) on the same machine. A
recorded stroke is played as 60 pointer events a second. The time of one is from its time stamp to the start
of the display frame after the one in which the first picture that contains it was drawn. There is a backlog
if the last third of the run is slower than the first, or changes stay unanswered at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from stylemap.benchmarks import machine, results

EVENTS_PER_SECOND = 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-renderer-backgrounding "
    "--disable-background-timer-throttling --disable-backgrounding-occluded-windows"
).split()
#: A visit that is not the first opens on a new edit.
NO_EXAMPLE = "localStorage.setItem('stylemap-welcome', 'seen')"
#: Milliseconds to reach on two cores with the demo model.
GOALS = {"p50": 60.0, "p95": 90.0}


def path_of_stroke(event: int) -> tuple[float, float]:
    """Where the hand is at event number ``event``, in fractions of the picture: loops over the face."""
    turn = 2 * math.pi * event / (2 * EVENTS_PER_SECOND)
    return 0.5 + 0.24 * math.sin(turn) + 0.06 * math.sin(0.31 * turn), 0.55 + 0.22 * math.sin(2.07 * turn)


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[tuple[str, int]]:
    """Address and process id of an editor that runs until the end of the block."""
    command = [sys.executable, "-m", "stylemap", "edit-server", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError(f"the server did not start: {' '.join(command)}")
        yield found.group(), process.pid
    finally:
        process.terminate()
        process.wait(15)


def browser() -> str:
    """The path of Chromium.

    Raises:
        FileNotFoundError: it is not installed.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise FileNotFoundError("Chromium is not installed: apt-get install chromium")
    return path


@contextlib.contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A headless browser with these arguments, too.

    Raises:
        ImportError, FileNotFoundError: playwright or Chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    path = browser()
    with sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments])
        yield running
        running.close()


def open_page(browser: Any, address: str) -> Any:
    """A page in a context of its own, as `prepare` leaves it."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    prepare(page, address)
    return page


def prepare(page: Any, address: str) -> None:
    """The editor with two photos chosen and a brush of a tenth of the picture."""
    page.add_init_script(NO_EXAMPLE)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_function("() => stylemap.editor.exact && !stylemap.link.backlog")
    page.evaluate("stylemap.editor.setBrush({ radius: stylemap.editor.size / 10 })")
    page.evaluate("Object.assign(stylemap.link, { latencies: [], mostPending: 0 })")


def play(pages: Sequence[Any], seconds: float) -> list[dict[str, Any]]:
    """Paint with all pages at once; one measurement per page."""
    boxes = [page.locator("#result").bounding_box() for page in pages]
    start = time.perf_counter()
    for event in range(round(seconds * EVENTS_PER_SECOND)):
        time.sleep(max(0.0, start + event / EVENTS_PER_SECOND - time.perf_counter()))
        x, y = path_of_stroke(event)
        for page, box in zip(pages, boxes):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if event == 0:
                page.mouse.down()
    played = time.perf_counter() - start
    for page in pages:
        page.mouse.up()
    return [_measured(page, played) for page in pages]


def _measured(page: Any, seconds: float) -> dict[str, Any]:
    last = time.perf_counter()
    page.wait_for_function("() => stylemap.editor.exact && !stylemap.link.backlog")
    drained = 1000 * (time.perf_counter() - last)
    page.wait_for_timeout(100)
    found = page.evaluate(
        "(({ latencies, mostPending, seq, shownFrames }) => ({ latencies, mostPending, seq, shownFrames }))"
        "(stylemap.link)"
    )
    latencies, third = found["latencies"], max(1, len(found["latencies"]) // 3)
    return {
        "changes": len(latencies),
        "changes_per_second": round(len(latencies) / seconds, 1),
        "frames_per_second": round(found["shownFrames"] / seconds, 1),
        "latency_ms": {
            name: round(quantile(latencies, q), 1) for name, q in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
        },
        "first_third_p50_ms": round(quantile(latencies[:third], 0.5), 1),
        "last_third_p50_ms": round(quantile(latencies[-third:], 0.5), 1),
        "most_unanswered": found["mostPending"],
        "drained_after_ms": round(drained, 1),
    }


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least a share q of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, as JSON holds it."""
    with server(*options(args)) as (address, _), chromium() as browser:
        pages = [open_page(browser, address) for _ in range(args.clients)]
        play(pages, 1.0)  # to warm up
        for page in pages:
            page.evaluate("stylemap.editor.clearMask()")
            page.wait_for_function("() => stylemap.editor.exact && !stylemap.link.backlog")
            page.evaluate("Object.assign(stylemap.link, { latencies: [], mostPending: 0, shownFrames: 0 })")
        found = play(pages, args.seconds)
        return {
            "what": "web editor: pointer event to displayed frame",
            **where(browser, pages[0]),
            "settings": settings(args),
            "goals_ms": GOALS,
            "clients": found,
        }


def where(browser: Any, page: Any) -> dict[str, Any]:
    """When, on what machine and with what model a page was measured."""
    model = page.evaluate("stylemap.editor.model")
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {**machine.describe(torch.device("cpu")), "browser": browser.version},
        "model": {"name": model["name"], "size": model["size"], "stylemap": model["stylemap"]},
    }


def arguments(description: str | None, clients: str) -> argparse.ArgumentParser:
    """The parser of a measurement in a browser; clients: what the pages do at once."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=1, help=clients)
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--threads", type=int, default=2, help="of the server's model")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the server's edits")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser


def options(args: argparse.Namespace) -> list[str]:
    """Those of the server."""
    model = ["--model", args.model] if args.model else []
    return ["--threads", str(args.threads), "--precision", args.precision, *model]


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """As JSON holds them."""
    return {name: getattr(args, name) for name in ("seconds", "clients", "threads", "precision")}


def tell(result: dict[str, Any], output: Path | None) -> None:
    """Print the figures of every page, and write the file."""
    for client in result["clients"]:
        print(", ".join(f"{name} {value}" for name, value in client.items()))
    if output:
        print(f"wrote {results.write(result, output)}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    args = arguments(__doc__, "pages that paint at once").parse_args(argv)
    tell(run(args), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
