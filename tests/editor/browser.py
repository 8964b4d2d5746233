"""A headless Chromium on the editor's page, in the words of someone who uses it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.helpers import needs

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A running browser. Without one the tests are skipped, except in CI, where they fail."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        why = "Chromium is not installed: apt-get install chromium (make test does so for root)"
        needs.missing(why)
    playwright = needs.package("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class EditorPage:
    """The page of one user."""

    def __init__(self, browser: Any, address: str, *, first_visit: bool = False, **options: Any) -> None:
        """first_visit: opens on the example; else on a new edit."""
        settings = {"viewport": {"width": 1280, "height": 800}, "accept_downloads": True, **options}
        self.context = browser.new_context(**settings)
        if not first_visit:
            self.context.add_init_script("localStorage.setItem('stylemap-welcome', 'seen')")
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.set_default_timeout(60_000)
        self.page.goto(f"http://{address}/", wait_until="domcontentloaded")
        self.page.wait_for_selector("body[data-ready]")
        self.settle()

    def __enter__(self) -> EditorPage:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()
        if error == (None, None, None):
            assert not self.errors, self.errors

    def settle(self) -> None:
        """Until what clicks started is done and the exact frame of it is shown."""
        self.page.wait_for_function(
            """() => {
                const { link, editor } = stylemap;
                const working = document.body.dataset.working !== undefined;
                return !working && link.live && !link.backlog && !link.scene && editor.exact;
            }"""
        )

    def do(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def photo(self, number: int, use: str) -> None:
        """Click the photo at a place of the gallery, as original, reference or mix."""
        self.page.click(f"#use button[value={use}]")
        self.do("window.before = stylemap.editor.scene")
        self.page.locator("#photos-list .tile > button:first-child").nth(number).click()
        self.page.wait_for_function("() => stylemap.editor.scene !== window.before")
        self.settle()

    def stroke(self, *points: tuple[float, float], pane: str = "#result") -> None:
        """Press, move and release; points in fractions of the picture."""
        box = self.page.locator(pane).bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()
        self.settle()

    def slide(self, selector: str, value: float) -> None:
        """Drag a slider there, and wait for the picture."""
        self.slide_closed(selector, value)
        self.settle()

    def slide_closed(self, selector: str, value: float) -> None:
        """Drag a slider there; of a dialog, no picture follows."""
        self.do(
            """([selector, value]) => {
                const input = document.querySelector(selector);
                input.value = value;
                input.dispatchEvent(new Event("input", { bubbles: true }));
                input.dispatchEvent(new Event("change", { bubbles: true }));
            }""",
            [selector, value],
        )

    def image(self) -> np.ndarray:
        """The frame that is shown, size×size×3."""
        data = self.do(
            """() => {
                const { stage, editor } = stylemap;
                const canvas = new OffscreenCanvas(editor.size, editor.size);
                canvas.getContext("2d").drawImage(stage.bitmap, 0, 0);
                return [...canvas.getContext("2d").getImageData(0, 0, editor.size, editor.size).data];
            }"""
        )
        size = self.do("stylemap.editor.size")
        return np.array(data, np.int64).reshape(size, size, 4)[..., :3]

    def mask(self, number: int = 1) -> np.ndarray:
        """What the page takes for a mask, size×size."""
        size = self.do("stylemap.editor.size")
        return np.array(self.do("(n) => [...stylemap.editor.masks.get(n)]", number)).reshape(size, size)

    def choose_square(self) -> None:
        """Downloads of a picture are the square from now on, not the photo around it."""
        self.do("document.querySelector('#download-what button[value=square]').click()")

    def download(self, button: str) -> bytes:
        self.page.click("#download")
        with self.page.expect_download() as download:
            self.page.click(button)
        with open(download.value.path(), "rb") as file:
            return file.read()
