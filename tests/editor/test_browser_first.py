"""The first minute: an example, three steps, what pictures are, sharp pictures, models, many photos."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap.editor.models import Models
from stylemap.model import StyleMapGAN
from stylemap.photo import FFHQ, Landmarks, align, faces
from stylemap.photo.models import Knowledge
from tests.editor import serving
from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file
from tests.editor.test_whole_photos import POINTS, SHAPE, phone
from tests.helpers import tiny

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def test_a_first_visit_opens_on_a_finished_example(browser: Any, place: str) -> None:
    with EditorPage(browser, place, first_visit=True) as page:
        scene = page.do("stylemap.editor.scene")
        assert scene["original"] == "g2"
        assert [one["image"] for one in scene["references"]] == ["g7", "g5"]
        assert all(page.mask(number).any() for number in (1, 2))
        assert not page.do("stylemap.editor.unsaved")
        assert page.page.locator("#welcome li").count() == 3
        edited = page.image()
        page.slide("#weight", 0)
        assert (page.image() != edited).any()


def test_the_steps_are_ticked_off_and_stay_away(browser: Any, place: str) -> None:
    with EditorPage(browser, place, first_visit=True) as page:
        page.photo(9, "reference")
        page.page.wait_for_selector("[data-step=photo].is-done")
        page.stroke(*CHEEKS)
        page.page.wait_for_selector("[data-step=paint].is-done")
        page.slide("#slider-100", 0.5)
        page.page.wait_for_selector("#welcome", state="hidden")
        page.page.wait_for_function("() => !stylemap.storage.timer && !stylemap.storage.saving")
        page.page.reload()
        page.page.wait_for_selector("body[data-ready]")
        page.settle()
        assert not page.page.is_visible("#welcome")


def test_the_steps_are_put_away_for_good(browser: Any, place: str) -> None:
    with EditorPage(browser, place, first_visit=True) as page:
        page.page.click("#welcome-close")
        page.page.reload()
        page.page.wait_for_selector("body[data-ready]")
        page.settle()
        assert not page.page.is_visible("#welcome")
        # The example is there when it is asked for.
        page.page.click("#help-button")
        page.page.click("#example-button")
        page.page.wait_for_function("() => stylemap.editor.scene.original === 'g2'")
        page.settle()
        assert page.mask(2).any()


def test_originals_and_decodes_say_what_they_are(page: EditorPage) -> None:
    label = page.page.locator("#picture-label")
    assert label.inner_text() == "Decoded, not edited"
    page.stroke(*CHEEKS)
    assert label.inner_text() == "Edited"
    page.page.keyboard.down("o")
    assert label.inner_text() == "Original photo"
    page.page.keyboard.up("o")
    page.page.keyboard.press("c")
    assert page.page.locator("#compare-label").inner_text() == "Original photo"
    assert label.inner_text() == "Edited"
    assert page.page.locator("#original-label").inner_text() == "Original photo"
    assert page.page.locator("#reference-title").inner_text() == "Reference photo"


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.5])
def test_the_picture_is_scaled_sharply_at_any_ratio(browser: Any, place: str, scale: float) -> None:
    with EditorPage(browser, place, device_scale_factor=scale) as page:
        page.do("stylemap.editor.set({ showMasks: false })")
        page.page.mouse.move(2, 2)
        page.do("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        width = page.do("document.querySelector('#result').width")
        # A pixel of the canvas is one of the screen.
        assert abs(width - scale * page.page.locator("#result").bounding_box()["width"]) <= 1
        data = page.do(
            "[...document.querySelector('#result').getContext('2d').getImageData(0, 0, "
            "document.querySelector('#result').width, document.querySelector('#result').height).data]"
        )
        shown = np.array(data, np.int64).reshape(width, width, 4)[..., :3]
        frame = page.image()
        wanted = _resized(frame, width, Image.Resampling.LANCZOS)
        # Pillow leaves out what lies outside, where the page repeats the border.
        edge = 4 * width // tiny.SIZE
        inner = np.s_[edge:-edge, edge:-edge]
        assert abs(shown - wanted)[inner].max() <= 2
        soft = _resized(frame, width, Image.Resampling.BILINEAR)
        assert abs(soft - wanted)[inner].mean() > 4 * abs(shown - wanted)[inner].mean()


def _resized(picture: np.ndarray, side: int, kernel: Image.Resampling) -> np.ndarray:
    """By Pillow, in float32: pictures of bytes are clipped between its two passes."""
    planes = [Image.fromarray(picture[..., c].astype(np.float32)) for c in range(3)]
    made = np.stack([np.asarray(plane.resize((side, side), kernel)) for plane in planes], -1)
    return np.clip(np.rint(made), 0, 255).astype(int)


@pytest.fixture(scope="module")
def two_models() -> Iterator[str]:
    def other() -> Any:
        torch.manual_seed(5)
        return serving.studio(model=StyleMapGAN(tiny.CONFIG).eval().requires_grad_(False), name="other")

    with serving.running(Models(serving.studio(), {"other": other})) as address:
        yield address


def test_the_model_is_switched(browser: Any, two_models: str) -> None:
    with EditorPage(browser, two_models) as page:
        first = page.image()
        assert page.page.locator("#model option").all_inner_texts() == ["tiny", "other"]
        page.page.select_option("#model", "other")
        page.page.wait_for_function("() => window.stylemap?.editor.model.name === 'other'")
        page.page.wait_for_selector("body[data-ready]")
        page.settle()
        assert (page.image() != first).any()
        page.stroke(*CHEEKS)
        page.page.click("#download")
        with page.page.expect_download() as download:
            page.page.click("#save-png")
        png = np.asarray(Image.open(download.value.path()).convert("RGB"))
        assert (png == page.image()).all()


def test_an_edit_comes_along_to_another_model(browser: Any, two_models: str, tmp_path: Path) -> None:
    photo = tmp_path / "me.png"
    photo.write_bytes(photo_file(tiny.SIZE, tiny.SIZE, seed=3))
    with EditorPage(browser, two_models) as page:
        page.stroke(*CHEEKS)
        page.page.set_input_files("#upload", photo)
        page.page.click("#crop button[value=add]")
        page.page.wait_for_function("() => stylemap.editor.scene.references.length === 2")
        page.stroke((0.5, 0.2), (0.6, 0.2))
        page.page.click(".slider-row:has(#slider-100) .icon-button")
        page.stroke((0.4, 0.8), (0.6, 0.8))
        page.slide("#slider-100", 1.0)
        name = page.do("Object.keys(stylemap.editor.scene.sliders)[0]")
        painted = [page.mask(number) for number in (1, 2, 100)]
        # As if the other model had no such slider, too.
        page.do("stylemap.editor.scene.sliders.other = { strength: 1, mask: null }")
        page.page.select_option("#model", "other")
        page.page.wait_for_function("() => window.stylemap?.editor.model.name === 'other'")
        page.page.wait_for_selector("body[data-ready]")
        page.page.wait_for_selector("#toasts :text('came along from tiny, but for the slider other')")
        page.settle()
        scene = page.do("stylemap.editor.scene")
        assert [one["mask"] for one in scene["references"]] == [1, 2]
        assert scene["references"][0]["image"] == "g1"
        assert page.page.locator("#photos-list .tile button[title='me.png']").count() == 1
        assert list(scene["sliders"]) == [name]
        assert all((page.mask(number) == mask).all() for number, mask in zip((1, 2, 100), painted))
        # What this model had is one step back; going back to the first model finds it as it was left.
        page.page.keyboard.press("Control+z")
        page.settle()
        assert not page.mask(1).any()


def test_one_model_is_no_choice(page: EditorPage) -> None:
    assert not page.page.is_visible("#model")
    assert "tiny" in page.page.locator("#model-name").inner_text()


def test_the_edit_on_many_photos_as_an_archive(page: EditorPage, tmp_path: Path) -> None:
    page.stroke(*CHEEKS)
    files = []
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "me.png")
        files[-1].write_bytes(photo_file(tiny.SIZE, tiny.SIZE, seed=seed))
    files.append(tmp_path / "broken.png")
    files[-1].write_bytes(b"no photo")
    page.page.click("#download")
    page.page.click("#batch-open")
    assert page.page.is_disabled("#batch-start")
    page.page.set_input_files("#batch-files", files)
    page.page.wait_for_selector("#batch-count:text('3 photos chosen')")
    if page.page.is_visible("#batch-faces"):
        page.page.uncheck("#batch-faces")
    with page.page.expect_download() as download:
        page.page.click("#batch-start")
    archive = zipfile.ZipFile(download.value.path())
    assert archive.testzip() is None
    assert archive.namelist() == ["me_edited.png", "me_edited_2.png"]
    assert page.page.locator("#batch-list .error").inner_text().startswith("broken.png: ")
    assert page.page.locator("#batch-list li").last.inner_text() == "2 of 3 photos edited."
    # The first is what the page makes of the same photo.
    made = np.asarray(Image.open(io.BytesIO(archive.read("me_edited.png"))).convert("RGB"))
    page.page.click("#batch button[value='']")
    page.page.click("#use button[value=original]")
    page.page.set_input_files("#upload", files[0])
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.png']")
    page.settle()
    assert (page.image() == made).all()
    page.errors.clear()  # of the file that is no photo


def test_a_photo_that_decodes_badly_is_offered_its_face(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "available", lambda: True)
    found = [False]

    def landmarks(photo: Any) -> Landmarks:
        if not found[0]:
            raise faces.NoFaceError("none")
        return Landmarks.of(np.array(POINTS) * photo.size)

    monkeypatch.setattr(faces, "landmarks", landmarks)
    (tmp_path / "me.png").write_bytes(phone())
    with (
        serving.running(serving.studio(knowledge=Knowledge(FFHQ, 1e-9))) as address,
        EditorPage(browser, address) as page,
    ):
        page.page.click("#use button[value=original]")
        page.page.set_input_files("#upload", tmp_path / "me.png")
        page.page.wait_for_selector("#crop-hint:text('No face was found')")
        page.page.click("#crop button[value=add]")
        page.page.wait_for_selector("#far:not([hidden])")
        page.settle()
        before = page.do("stylemap.editor.scene.original")
        page.stroke(*CHEEKS)
        found[0] = True
        page.page.click("#far-place")
        page.page.wait_for_selector("#crop-hint:text('Aligned to the face')")  # without being asked
        page.page.click("#crop button[value=add]")
        page.page.wait_for_function("(id) => stylemap.editor.scene.original !== id", arg=before)
        page.page.wait_for_function("() => document.body.dataset.working === undefined")
        page.settle()
        crop = page.do("stylemap.gallery.photo(stylemap.editor.scene.original).crop")
        expected = align(Landmarks.of(np.array(POINTS) * SHAPE), FFHQ)
        assert SHAPE[1] * crop["side"] == pytest.approx(expected.side, rel=1e-3)
        assert page.page.locator("#photos-list .tile-remove").count() == 1  # in the place of the first
        assert page.mask().any()
        page.page.click("#far-close")
        assert not page.page.is_visible("#far")
