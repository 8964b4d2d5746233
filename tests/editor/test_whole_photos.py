"""Photos that are kept whole: cropped or aligned, and given back with the edit in them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from stylemap import edit, images
from stylemap.editor.studio import Studio
from stylemap.photo import FFHQ, Crop, Landmarks, Photo, align, faces
from tests.editor import serving
from tests.editor.serving import pixels
from tests.helpers import needs, tiny

SIZE = tiny.SIZE
CROP = {"cx": 0.45, "cy": 0.5, "side": 0.6, "angle": 15.0}
SHAPE = (300, 200)
POINTS = [(0.4, 0.4), (0.55, 0.42), (0.48, 0.5), (0.42, 0.6), (0.52, 0.61)]


def phone(kind: str = "PNG", seed: int = 1) -> bytes:
    """A photo of 300×200 with EXIF data that says it lies on its side, an ICC profile and a resolution."""
    coarse = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    upright = Image.fromarray(coarse).resize(SHAPE, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.Orientation] = 6  # shown after a quarter turn clockwise
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.save(buffer, kind, exif=exif, icc_profile=profile, dpi=(300, 300))
    return buffer.getvalue()


def _session(http: httpx.Client) -> str:
    return "/api/sessions/" + str(http.post("/api/sessions").json()["session"])


@pytest.fixture
def edited(http: httpx.Client) -> str:
    """A session with a crop of the photo as its original, and the left half of a face laid over it."""
    session = _session(http)
    answer = http.post(f"{session}/images", params={**CROP, "name": "me.png"}, content=phone())
    assert answer.status_code == 201
    assert answer.json()["whole"] is True
    scene = {"original": answer.json()["id"], "references": [{"mask": 1, "image": "g1"}]}
    assert http.put(f"{session}/scene", json=scene).status_code == 204
    mask = io.BytesIO()
    Image.fromarray(_left().numpy().astype(np.uint8) * 255).save(mask, "PNG")
    assert http.put(f"{session}/masks/1", content=mask.getvalue()).status_code == 204
    return session


def _left() -> torch.Tensor:
    return edit.masks.box(SIZE, 0, 0, 0.5, 1)


def _lightness(image: np.ndarray) -> np.ndarray:
    """Which WebP and videos keep at full resolution."""
    return image @ [0.299, 0.587, 0.114]


def _expected(studio: Studio, mode: str) -> Photo:
    """By the library."""
    model = tiny.model()
    photo = Photo.open(io.BytesIO(phone()))
    crop = Crop.fraction(photo.size, (CROP["cx"], CROP["cy"]), CROP["side"], CROP["angle"])
    with torch.no_grad():
        w = model.encode(photo.cut(crop, SIZE)[None])
        other = model.encode(images.to_tensor(studio.gallery.image("g1"))[None])
        before, after = model.decode(w)[0], edit.blend(model, w, [other], [_left()])[0]
    return photo.paste(crop, before, after, mode=mode, mask=_left())


@pytest.mark.parametrize("mode", ["difference", "replace"])
def test_the_photo_comes_back_with_the_edit_in_it(
    http: httpx.Client, studio: Studio, edited: str, mode: str
) -> None:
    answer = http.get(f"{edited}/result", params={"whole": True, "paste": mode})
    assert answer.headers["content-type"] == "image/png"
    found, original = pixels(answer.content), np.asarray(Photo.open(io.BytesIO(phone())).pixels).astype(int)
    expected = np.asarray(_expected(studio, mode).pixels).astype(int)
    assert found.shape == (200, 300, 3)
    assert np.abs(found - expected).max() <= 1
    assert (expected != original).any(2).mean() > 0.02
    # Outside the square every pixel keeps its value.
    crop = Crop.fraction(SHAPE, (CROP["cx"], CROP["cy"]), CROP["side"], CROP["angle"])
    place = crop.to_square(np.stack(np.meshgrid(np.arange(300) + 0.5, np.arange(200) + 0.5), -1))
    outside = ((place < 0) | (place > 1)).any(-1)
    assert (found[outside] == original[outside]).all()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_metadata_are_kept(http: httpx.Client, edited: str, kind: str) -> None:
    answer = http.get(f"{edited}/result", params={"whole": True, "format": kind})
    assert answer.headers["content-type"] == f"image/{kind}"
    with Image.open(io.BytesIO(answer.content)) as found:
        assert (found.format, found.size) == (kind.upper(), SHAPE)
        assert found.getexif()[ExifTags.Base.Make] == "a camera"
        assert ExifTags.Base.Orientation not in found.getexif()
        assert found.info["icc_profile"]
        if kind != "webp":
            assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_the_square_in_other_formats(http: httpx.Client, edited: str) -> None:
    exact = pixels(http.get(f"{edited}/result").content)
    for kind in ("jpeg", "webp"):
        found = http.get(f"{edited}/result", params={"format": kind})
        assert Image.open(io.BytesIO(found.content)).format == kind.upper()
        assert np.abs(_lightness(pixels(found.content)) - _lightness(exact)).mean() < 4


def test_a_square_has_no_photo_around_it(http: httpx.Client) -> None:
    session = _session(http)
    assert http.put(f"{session}/scene", json={"original": "g0"}).status_code == 204
    answer = http.get(f"{session}/result", params={"whole": True})
    assert (answer.status_code, "square" in answer.json()["error"]) == (409, True)
    square = serving.photo_file(SIZE, SIZE)
    assert http.post(f"{session}/images", content=square).json()["whole"] is False
    assert http.post(f"{session}/images", params={"side": 0.5}, content=square).json()["whole"] is True


def test_five_points_align(http: httpx.Client) -> None:
    body = {"width": 300, "height": 200, "points": POINTS}
    found = http.post("/api/alignment", json=body).json()
    expected = align(Landmarks.of(np.array(POINTS) * SHAPE), FFHQ)
    assert (300 * found["cx"], 200 * found["cy"]) == pytest.approx(expected.centre)
    assert 200 * found["side"] == pytest.approx(expected.side)
    assert found["angle"] == pytest.approx(expected.angle)
    for wrong in ([*POINTS[:4]], [(0.5, 0.5)] * 5, [(2, 0.5), *POINTS[1:]]):
        assert http.post("/api/alignment", json={**body, "points": wrong}).status_code == 400


def test_a_face_is_found(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "available", lambda: True)
    monkeypatch.setattr(faces, "landmarks", lambda photo: Landmarks.of(np.array(POINTS) * photo.size))
    session = _session(http)
    found = http.post(f"{session}/face", content=phone()).json()
    aligned = http.post("/api/alignment", json={"width": 300, "height": 200, "points": POINTS}).json()
    assert found == pytest.approx(aligned)

    def none(photo: Photo) -> Landmarks:
        raise faces.NoFaceError("none")

    monkeypatch.setattr(faces, "landmarks", none)
    answer = http.post(f"{session}/face", content=phone())
    assert (answer.status_code, answer.json()) == (200, None)
    assert http.post(f"{session}/face", content=b"no photo").status_code == 415
    monkeypatch.setattr(faces, "available", lambda: False)
    assert "stylemap[align]" in http.post(f"{session}/face", content=phone()).json()["error"]


@needs.installed("av")
@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_the_edit_as_a_video(http: httpx.Client, edited: str, kind: str) -> None:
    import av

    answer = http.get(f"{edited}/frames", params={"count": 6, "format": kind})
    assert answer.headers["content-type"] == f"video/{kind}"
    with av.open(io.BytesIO(answer.content)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    assert (len(frames), frames[0].size) == (10, (SIZE, SIZE))
    last = pixels(http.get(f"{edited}/result").content)
    assert np.abs(_lightness(np.asarray(frames[5])) - _lightness(last)).mean() < 12


def test_the_sheet(http: httpx.Client, edited: str) -> None:
    answer = http.get(f"{edited}/sheet")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.width > 5 * 256  # original, decoded, reference, mask, result
        assert sheet.height < 2 * 256


@pytest.fixture
def narrow() -> Iterator[httpx.Client]:
    """A server that keeps two of the photos of a session, and three of all."""
    size = len(phone())
    limits = serving.patient(kept_bytes=2 * size + 10, kept_bytes_all=3 * size + 10)
    with (
        serving.running(serving.studio(limits)) as address,
        httpx.Client(base_url=f"http://{address}", timeout=20) as client,
    ):
        yield client


def test_what_is_kept_is_limited(narrow: httpx.Client) -> None:
    first, second = _session(narrow), _session(narrow)
    ids = [narrow.post(f"{first}/images", content=phone()).json()["id"] for _ in range(2)]
    refused = narrow.post(f"{first}/images", content=phone())
    assert (refused.status_code, "remove one first" in refused.json()["error"]) == (409, True)
    assert narrow.post(f"{second}/images", content=phone()).status_code == 201
    assert "try again later" in narrow.post(f"{second}/images", content=phone()).json()["error"]
    assert narrow.delete(f"{first}/images/{ids[0]}").status_code == 204
    assert narrow.post(f"{second}/images", content=phone()).status_code == 201
