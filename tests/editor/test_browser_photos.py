"""Photos in the page: kept whole, aligned, downloaded with the edit in them, kept over reload and restart."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stylemap.editor.studio import Studio
from stylemap.photo import FFHQ, Landmarks, align, faces
from tests.editor.browser import EditorPage
from tests.editor.test_whole_photos import POINTS, SHAPE, phone
from tests.helpers import needs, tiny

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def _choose(page: EditorPage, tmp_path: Path) -> None:
    """Open the crop dialog with the photo, as an original."""
    photo = tmp_path / "me.png"
    photo.write_bytes(phone())
    page.page.click("#use button[value=original]")
    page.page.set_input_files("#upload", photo)
    page.page.wait_for_selector("#crop[open]")


def _add(page: EditorPage) -> None:
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.png']")
    page.page.wait_for_selector("#download-what:not([hidden])", state="attached")
    page.settle()


def _edited(page: EditorPage, tmp_path: Path) -> np.ndarray:
    """A crop of the photo with something painted onto it; the photo as it is downloaded."""
    _choose(page, tmp_path)
    page.slide_closed("#crop-zoom", 0.8)
    page.slide_closed("#crop-turn", 15)
    _add(page)
    page.stroke(*CHEEKS)
    return _photo(page)


def _photo(page: EditorPage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.download("#save-png"))).convert("RGB")).astype(int)


def _crop(page: EditorPage) -> dict[str, float]:
    return page.do("stylemap.gallery.photo(stylemap.editor.scene.original).crop")


def test_downloads_are_the_whole_photo(page: EditorPage, tmp_path: Path) -> None:
    whole = _edited(page, tmp_path)
    original = np.asarray(Image.open(tmp_path / "me.png").transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert whole.shape == (200, 300, 3)
    changed = (whole != original).any(2)
    assert 0.005 < changed.mean() < 0.5
    for button, kind in (("#save-jpeg", "JPEG"), ("#save-webp", "WEBP")):
        with Image.open(io.BytesIO(page.download(button))) as found:
            assert (found.format, found.size) == (kind, SHAPE)
            assert found.getexif()[ExifTags.Base.Make] == "a camera"
            assert found.info["icc_profile"]
    page.choose_square()
    for button, kind in (("#save-png", "PNG"), ("#save-jpeg", "JPEG"), ("#save-webp", "WEBP")):
        with Image.open(io.BytesIO(page.download(button))) as found:
            assert (found.format, found.size) == (kind, (tiny.SIZE, tiny.SIZE))
    # A square has no photo around it: there is no choice.
    page.photo(-1, "original")
    page.page.wait_for_selector("#download-what[hidden]", state="attached")


def test_moving_pictures_and_the_sheet(page: EditorPage) -> None:
    page.stroke(*CHEEKS)
    with Image.open(io.BytesIO(page.download("#save-sheet"))) as sheet:
        assert sheet.width > 5 * 256
    av = needs.package("av")
    for button in ("#save-mp4", "#save-webm"):
        with av.open(io.BytesIO(page.download(button))) as container:
            assert sum(1 for _ in container.decode(video=0)) == 22


def test_a_reload_keeps_photo_and_crop(page: EditorPage, tmp_path: Path) -> None:
    whole, crop = _edited(page, tmp_path), _crop(page)
    page.page.wait_for_function("() => !stylemap.storage.timer && !stylemap.storage.saving")
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]")
    page.settle()
    assert _crop(page) == crop
    assert (_photo(page) == whole).all()


def test_a_server_that_forgot_gets_photo_and_crop_again(page: EditorPage, tmp_path: Path) -> None:
    whole, crop = _edited(page, tmp_path), _crop(page)
    before = page.do("stylemap.link.session")
    page.page.request.delete(f"{page.page.url}api/sessions/{before}")
    page.page.wait_for_function(
        "(before) => stylemap.link.session !== before && !stylemap.link.held", arg=before
    )
    page.settle()
    assert _crop(page) == crop
    assert (_photo(page) == whole).all()
    page.errors.clear()  # that the session was closed


def test_a_project_holds_photo_and_crop(page: EditorPage, tmp_path: Path) -> None:
    whole, crop = _edited(page, tmp_path), _crop(page)
    project = page.download("#save-project")
    assert json.loads(project)["version"] == 2
    page.page.click("#photos-list .tile:last-child button")
    page.page.click("#new")
    page.page.wait_for_function("() => stylemap.editor.scene.original === 'g0'")
    page.settle()
    (tmp_path / "x.stylemap").write_bytes(project)
    page.page.set_input_files("#open", tmp_path / "x.stylemap")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.png']")
    page.page.wait_for_function("() => document.body.dataset.working === undefined")
    page.settle()
    assert _crop(page) == crop
    assert (_photo(page) == whole).all()


def test_projects_of_the_first_version_open(page: EditorPage, tmp_path: Path) -> None:
    page.stroke(*CHEEKS)
    shown = page.image()
    project = json.loads(page.download("#save-project")) | {"version": 1}
    (tmp_path / "x.stylemap").write_text(json.dumps(project))
    page.page.click("#new")
    page.page.wait_for_function("() => !stylemap.editor.masks.get(1)?.some(Boolean)")
    page.settle()
    page.page.set_input_files("#open", tmp_path / "x.stylemap")
    page.page.wait_for_function("() => stylemap.editor.masks.get(1)?.some(Boolean)")
    page.settle()
    assert (page.image() == shown).all()


def test_five_clicks_align(page: EditorPage, tmp_path: Path) -> None:
    _choose(page, tmp_path)
    page.page.click("#crop-points")
    page.page.wait_for_selector("#crop-hint:text('Click the left eye')")
    box = page.page.locator("#crop canvas").bounding_box()
    for x, y in POINTS:  # the whole photo is shown: its longer edge fills the square
        u, v = x, 0.5 + (y - 0.5) * SHAPE[1] / SHAPE[0]
        page.page.mouse.click(box["x"] + u * box["width"], box["y"] + v * box["height"])
    page.page.wait_for_selector("#crop-hint:text('Aligned to the face')")
    _add(page)
    crop, expected = _crop(page), align(Landmarks.of(np.array(POINTS) * SHAPE), FFHQ)
    assert (SHAPE[0] * crop["cx"], SHAPE[1] * crop["cy"]) == pytest.approx(expected.centre, abs=1.5)
    assert SHAPE[1] * crop["side"] == pytest.approx(expected.side, rel=0.05)
    assert crop["angle"] == pytest.approx(expected.angle, abs=3)


def test_points_that_are_no_face_are_told(page: EditorPage, tmp_path: Path) -> None:
    _choose(page, tmp_path)
    page.page.click("#crop-points")
    page.page.focus("#crop canvas")
    for _ in range(5):  # by keys: all at one place
        page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#crop-hint:text('landmarks must be')")
    page.errors.clear()  # of the request that was refused
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#crop:not([open])", state="attached")


def test_the_face_is_found(
    page: EditorPage, smiling: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "available", lambda: True)
    monkeypatch.setattr(faces, "landmarks", lambda photo: Landmarks.of(np.array(POINTS) * photo.size))
    page.page.reload()  # the page learns what the server can do when it is opened
    page.page.wait_for_selector("body[data-ready]")
    page.settle()
    _choose(page, tmp_path)
    page.page.click("#crop-face")
    page.page.wait_for_selector("#crop-hint:text('Aligned to the face')")
    _add(page)
    expected = align(Landmarks.of(np.array(POINTS) * SHAPE), FFHQ)
    assert SHAPE[1] * _crop(page)["side"] == pytest.approx(expected.side, rel=1e-3)

    def none(photo: object) -> Landmarks:
        raise faces.NoFaceError("none")

    monkeypatch.setattr(faces, "landmarks", none)
    _choose(page, tmp_path)
    page.page.click("#crop-face")
    page.page.wait_for_selector("#crop-hint:text('No face was found')")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#crop:not([open])", state="attached")


def test_without_a_detector_it_is_not_offered(
    page: EditorPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "available", lambda: False)
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]")
    page.settle()
    _choose(page, tmp_path)
    assert not page.page.locator("#crop-face").is_visible()
    assert page.page.locator("#crop-points").is_visible()
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#crop:not([open])", state="attached")
