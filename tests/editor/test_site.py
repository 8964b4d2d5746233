"""The site without a server: written, painted on in Chromium, compared with Python, without a network."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylemap import images
from stylemap.editor import site_runtime
from stylemap.editor.clients import Snapshot
from stylemap.editor.scene import Scene
from stylemap.editor.site import write_site
from stylemap.editor.studio import Studio
from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file, two_directions
from tests.helpers import needs, tiny

CLOSE = 1e-3
RESULT = """async () => {
    const { transport } = await import("./static/transport.js");
    const answer = await transport.fetch("/api/sessions/browser/result?float");
    return [...new Float32Array(await answer.arrayBuffer())];
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.package("onnxruntime")
    if shutil.which("npm") is None:
        needs.missing("npm is not installed: ONNX Runtime for browsers comes from there")
    folder = tmp_path_factory.mktemp("site")
    try:
        size = write_site(tiny.model(), folder / "site", "tiny", directions=two_directions(folder))
    except RuntimeError as error:
        if not str(error).startswith("npm pack "):
            raise
        needs.missing(str(error))  # no network
    assert size < 40e6
    return folder / "site"


@pytest.fixture(scope="module")
def static(site: Path) -> Iterator[str]:
    """The address of the site, served as `python -m http.server` does."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def compare(page: EditorPage, studio: Studio) -> None:
    """The frame that is shown and the picture behind it are Python's."""
    scene = page.do("stylemap.editor.scene")
    numbers = page.do("stylemap.editor.maskNumbers()")
    masks = {number: page.mask(number).astype(np.uint8) for number in numbers}
    client = studio.open_client()
    recipe = studio._recipe(client, Snapshot(Scene(**scene), masks, 0, True), None)
    expected = studio.composer.render(recipe, client.id)
    studio.clients.remove(client, "done")
    made = np.array(page.do(RESULT), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(made, expected.numpy(), atol=CLOSE)
    shown = np.asarray(images.to_image(expected)).astype(int)
    assert abs(page.image() - shown).max() <= 1


def test_painting_sliders_and_mixing_are_those_of_python(browser: Any, static: str, smiling: Studio) -> None:
    with EditorPage(browser, static, service_workers="block") as page:
        asked = []
        page.page.on("request", lambda request: asked.append((request.method, request.url)))
        compare(page, smiling)
        before = page.image()
        page.stroke((0.3, 0.3), (0.6, 0.4), (0.5, 0.7))
        assert (page.image() != before).any()
        compare(page, smiling)
        page.stroke((0.1, 0.9), (0.95, 0.9), pane="#reference")
        page.do("stylemap.editor.changeReference(1, { shift: [5, -9] })")
        page.settle()
        compare(page, smiling)
        page.stroke((0.7, 0.1), (0.9, 0.2))
        compare(page, smiling)
        page.slide("#weight", 60)
        compare(page, smiling)
        page.do('stylemap.editor.changeSlider("smile", { strength: 0.7 })')
        page.do('stylemap.editor.changeSlider("amplify", { strength: -0.5 })')
        page.settle()
        compare(page, smiling)
        page.do('stylemap.editor.setLocal("smile", true); stylemap.editor.setLocal("amplify", true)')
        page.settle()
        page.stroke((0.2, 0.2), (0.4, 0.2))
        compare(page, smiling)
        page.photo(3, "mix")
        compare(page, smiling)
        page.do("stylemap.editor.undo()")
        page.settle()
        compare(page, smiling)
        assert all(
            method == "GET" and url.startswith((f"http://{static}/", "blob:")) for method, url in asked
        )


def test_uploads_random_faces_and_frames(browser: Any, static: str, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photo_file(50, 40))
    with EditorPage(browser, static, service_workers="block") as page:
        tiles = page.page.locator("#photos-list .tile")
        count = tiles.count()
        page.page.set_input_files("#upload", tmp_path / "photo.png")
        page.page.click("#crop button[value=add]")
        page.page.wait_for_function(
            "(n) => document.querySelectorAll('#photos-list .tile').length === n", arg=count + 1
        )
        page.settle()
        page.page.click("#random")
        page.page.wait_for_function(
            "(n) => document.querySelectorAll('#photos-list .tile').length === n", arg=count + 2
        )
        page.settle()
        page.page.wait_for_function("() => document.querySelectorAll('#frames .frame').length === 9")
        assert images.open_rgb(_file(tmp_path, page.download("#save-png"))).size == (tiny.SIZE, tiny.SIZE)
        assert not page.page.locator("#save-gif").is_visible()
        project = json.loads(page.download("#save-project"))
        assert project


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "saved.png"
    path.write_bytes(content)
    return path


def test_parts_many_photos_and_a_camera(browser: Any, static: str, smiling: Studio, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photo_file(tiny.SIZE, tiny.SIZE))
    with EditorPage(browser, static, service_workers="block", first_visit=True) as page:
        assert page.do("stylemap.editor.scene.original") == "g2"  # the example, masks and all
        page.do("stylemap.editor.changeReference(1, { opacity: 0.4 })")
        page.settle()
        compare(page, smiling)
        page.page.click("#download")
        page.page.click("#batch-open")
        page.page.set_input_files("#batch-files", tmp_path / "photo.png")
        with page.page.expect_download() as download:
            page.page.click("#batch-start")
        names = zipfile.ZipFile(download.value.path()).namelist()
        assert names == ["photo_edited.png"]
        page.page.keyboard.press("Escape")
        # Frames as a camera would send them: the newest is shown.
        shown = """async () => {
            const { editor, link, stage } = stylemap;
            const canvas = new OffscreenCanvas(editor.size, editor.size), context = canvas.getContext("2d");
            stage.images.set("camera", canvas);
            editor.swapOriginal(editor.scene.original, "camera");
            for (const colour of ["#a04020", "#2040a0"]) {
                context.fillStyle = colour;
                context.fillRect(0, 0, editor.size, editor.size);
                link.sendPicture(await (await canvas.convertToBlob()).arrayBuffer(), performance.now());
            }
        }"""
        page.do(shown)
        page.page.wait_for_function("() => stylemap.link.shotLatencies.length && !stylemap.link.shots.size")
        page.do("stylemap.editor.swapOriginal('camera', 'g2')")
        page.settle()
        compare(page, smiling)


def test_it_works_without_a_network_and_can_be_installed(browser: Any, static: str, smiling: Studio) -> None:
    with EditorPage(browser, static) as page:
        assert page.do("stylemap.editor.model.threads") == 1
        page.page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        tools = page.context.new_cdp_session(page.page)
        # Contexts of tests are private windows, which install nothing: that alone is in the way.
        errors = tools.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert {error["errorId"] for error in errors} <= {"in-incognito"}
        page.context.set_offline(True)
        page.page.reload(wait_until="domcontentloaded")
        page.page.wait_for_selector("body[data-ready]")
        page.settle()
        # The service worker's headers let the page share memory.
        assert page.do("crossOriginIsolated")
        assert page.do("stylemap.editor.model.threads === Math.min(4, navigator.hardwareConcurrency)")
        page.stroke((0.3, 0.3), (0.6, 0.4))
        compare(page, smiling)


def test_only_a_site_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="something else than a site"):
        write_site(tiny.model(), tmp_path, "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_runtime_that_lacks_a_file_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    with pytest.raises(FileNotFoundError, match=r"lacks ort\.wasm\.min\.mjs"):
        write_site(tiny.model(), tmp_path / "site", "tiny", runtime=tmp_path / "runtime")
    assert [path.name for path in tmp_path.iterdir()] == ["runtime"]


def test_without_npm_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_runtime.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"npm is missing: install it, or name a folder .*--runtime"):
        site_runtime.write_runtime(tmp_path / "runtime")


def test_photos_that_are_missing_are_named_before_the_runtime_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_runtime.shutil, "which", lambda name: None)  # fetching it would be told instead
    with pytest.raises((ValueError, OSError), match="missing"):
        write_site(tiny.model(), tmp_path / "site", "tiny", images=tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
