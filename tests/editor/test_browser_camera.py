"""The live camera in Chromium: a fake one that plays drawn faces, and a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylemap.benchmarks import editor_camera
from stylemap.editor.studio import Studio
from tests.editor.browser import NAMES, EditorPage
from tests.helpers import needs

CHEEKS = (0.3, 0.6), (0.7, 0.6)
_SHOTS = "(count) => stylemap.link.shotLatencies.length > count"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """In the place of the one without a camera."""
    needs.package("playwright.sync_api")
    video = editor_camera.write_video(tmp_path_factory.mktemp("camera") / "faces.y4m", faces=2, frames=20)
    try:
        with editor_camera.chromium(video) as browser:
            yield browser
    except FileNotFoundError:
        needs.missing(f"Chromium is not installed: none of {', '.join(NAMES)}")


def _start(page: EditorPage) -> None:
    page.page.click("#camera")
    page.page.wait_for_function(_SHOTS, arg=2)


def test_every_frame_of_the_camera_is_edited(page: EditorPage, smiling: Studio) -> None:
    before = page.do("stylemap.editor.scene.original")
    page.stroke(*CHEEKS)
    steps = page.do("stylemap.editor.past.length")
    _start(page)
    assert page.do("stylemap.editor.scene.original") == "camera"
    assert page.page.is_visible("#live")
    assert page.page.locator("#picture-label").inner_text() == "Edited, live"
    page.page.wait_for_function(
        "() => / fps · \\d+ ms/.test(document.querySelector('#camera-figures').textContent)"
    )
    # What is changed while it runs is in the next frames.
    page.slide_closed("#slider-100", 1.0)
    page.page.wait_for_function("() => !stylemap.link.backlog")
    # No queue: as many pictures as are allowed are on their way, whatever the camera does.
    shown = page.do("stylemap.link.shotLatencies.length")
    page.page.wait_for_function(_SHOTS, arg=shown + 10)
    assert page.do("stylemap.link.shotsAway") <= 2
    client = smiling.clients.get(page.do("stylemap.link.session"))
    assert client is not None
    assert client.live is not None
    page.page.click("#camera-stop")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == before
    assert not page.page.is_visible("#camera-bar")
    # It came and went without a step of the history.
    assert page.do("stylemap.editor.past.length") == steps + 1
    for _ in range(steps + 1):
        page.page.keyboard.press("Control+z")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == before
    assert page.do("stylemap.camera.running") is False


def test_the_benchmark_measures_it(page: EditorPage) -> None:
    _start(page)
    editor_camera.begin([page.page], 1.0)
    (found,) = editor_camera.measured([page.page])
    assert found["frames_per_second"] > 0
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"] <= found["latency_ms"]["max"]


def test_a_picture_is_taken(page: EditorPage) -> None:
    _start(page)
    page.page.click("#camera-take")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='Camera.png']")
    page.settle()
    assert not page.do("stylemap.camera.running")
    page.stroke(*CHEEKS)
    assert page.image().std() > 5


def test_a_project_of_the_camera_holds_what_it_shows(page: EditorPage, tmp_path: Path) -> None:
    page.stroke(*CHEEKS)
    painted = page.mask()
    _start(page)
    file = tmp_path / "live.stylemap"
    file.write_bytes(page.download("#save-project"))
    page.page.click("#camera-stop")
    page.page.wait_for_function("() => !stylemap.camera.running")
    page.page.set_input_files("#open", file)
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='Camera.png']")
    page.settle()
    assert (page.mask() == painted).all()
    assert page.image().std() > 5


def test_undoing_the_original_ends_the_camera(page: EditorPage) -> None:
    page.photo(4, "original")
    _start(page)
    page.page.keyboard.press("Control+z")  # before that photo was chosen
    page.page.wait_for_function("() => !stylemap.camera.running")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == "g0"
    page.page.keyboard.press("Control+Shift+z")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == "g4"


def test_the_camera_is_off_after_a_reload(page: EditorPage) -> None:
    page.stroke(*CHEEKS)
    _start(page)
    page.slide_closed("#slider-100", 0.5)
    page.page.wait_for_function("() => !stylemap.storage.timer && !stylemap.storage.saving")
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == "g0"
    assert page.mask().any()


def test_it_goes_on_with_a_new_session(page: EditorPage) -> None:
    _start(page)
    before = page.do("stylemap.link.session")
    page.page.request.delete(f"{page.page.url}api/sessions/{before}")
    page.page.wait_for_function(
        "(before) => stylemap.link.session !== before && !stylemap.link.held", arg=before
    )
    shown = page.do("stylemap.link.shotLatencies.length")
    page.page.wait_for_function(_SHOTS, arg=shown + 3)
    assert page.do("stylemap.editor.scene.original") == "camera"
    page.errors.clear()  # that the session was closed


def test_two_cameras_share_the_model(browser: Any, page: EditorPage, place: str) -> None:
    with EditorPage(browser, place) as other:
        for one in (page, other):
            _start(one)
        counts = [one.do("stylemap.link.shotLatencies.length") for one in (page, other)]
        for one, count in zip((page, other), counts):  # neither waits for the other to end
            one.page.wait_for_function(_SHOTS, arg=count + 5)


def test_a_video_file_is_an_original(page: EditorPage, tmp_path: Path) -> None:
    av = needs.package("av")
    file = tmp_path / "clip.webm"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(20):
            pixels = np.full((64, 96, 3), 20 + 10 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    page.page.set_input_files("#upload", file)
    page.page.wait_for_function(_SHOTS, arg=3)
    assert page.do("stylemap.editor.scene.original") == "camera"
    page.page.click("#camera-stop")
    page.settle()


def test_a_file_that_is_no_video_is_told(page: EditorPage, tmp_path: Path) -> None:
    (tmp_path / "clip.webm").write_bytes(b"nothing")
    page.page.set_input_files("#upload", tmp_path / "clip.webm")
    page.page.wait_for_selector("#toasts :text('no video')")
    assert page.do("stylemap.editor.scene.original") == "g0"
