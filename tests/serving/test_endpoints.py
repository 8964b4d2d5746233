"""Every endpoint: the pixels are those of a session, and bad input gets one line."""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from stylemap import EditSession
from stylemap.edit.direction_set import load_directions
from stylemap.editor.photos import Crop, Kind, encoded
from stylemap.serving.service import Local
from stylemap.serving.work import Edit, Mask, Part, Photo, Task
from tests.editor.serving import photo_file
from tests.helpers import tiny
from tests.serving.running import (
    MASK,
    A,
    B,
    edit_body,
    form,
    mask_file,
    pixels,
    session_edit,
    sha,
    shown,
    square,
)


def test_an_edit_has_the_pixels_of_a_session(http: httpx.Client) -> None:
    answer = http.post("/v1/edit", **form(edit_body(weight=0.7), a=A, b=B))
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(answer), session_edit(A, B, weight=0.7))


def test_an_edit_of_known_photos_sends_the_mask_alone(http: httpx.Client) -> None:
    for data in (A, B):
        assert http.post("/v1/images", content=data).json() == {"sha256": sha(data), "bytes": len(data)}
    http.post("/v1/edit", json=edit_body(sha(A), sha(B)))
    file, mask = mask_file()
    answer = http.post("/v1/edit", **form(edit_body(sha(A), sha(B), "m"), m=file))
    np.testing.assert_array_equal(pixels(answer), session_edit(A, B, mask))
    assert answer.headers["x-photos"] == "known=2, encoded=0"
    http.put(f"/v1/images/{sha(file)}", content=file)
    again = http.post("/v1/edit", json=edit_body(sha(A), sha(B), sha(file)))
    assert again.content == answer.content


def test_a_square_of_a_photo(http: httpx.Client) -> None:
    crop = Crop(cx=0.4, cy=0.6, side=0.8, angle=20)
    answer = http.post("/v1/edit", **form(edit_body(crop=crop.model_dump()), a=A, b=B))
    np.testing.assert_array_equal(pixels(answer), session_edit(A, B, crop=crop))


@pytest.mark.parametrize("kind", ["safetensors", "npy", "json"])
def test_encode(http: httpx.Client, kind: str) -> None:
    answer = http.post("/v1/encode", **form({"image": "a", "format": kind}, a=A))
    assert answer.status_code == 200
    if kind == "safetensors":
        found = load(answer.content)["stylemap"]
    elif kind == "npy":
        found = torch.from_numpy(np.load(io.BytesIO(answer.content)))
    else:
        found = torch.tensor(answer.json()["stylemap"]).reshape(answer.json()["shape"])
    session = EditSession(tiny.model())
    assert torch.equal(found, session.stylemap(session.add(square(A)))[0])


def test_interpolate(http: httpx.Client) -> None:
    answer = http.post("/v1/interpolate", **form({"a": "a", "b": "b", "weights": [0, 0.25, 1]}, a=A, b=B))
    session = EditSession(tiny.model())
    frames = session.interpolate(session.add(square(A)), session.add(square(B)), [0.0, 0.25, 1.0])
    np.testing.assert_array_equal(pixels(answer), np.concatenate([shown(each) for each in frames], 1))


def test_manipulate(http: httpx.Client, directions: Path) -> None:
    file, mask = mask_file()
    body = {"image": "a", "direction": "smile", "strength": -0.5, "mask": "m"}
    answer = http.post("/v1/manipulate", **form(body, a=A, m=file))
    session, smile = EditSession(tiny.model()), load_directions(directions)["smile"]
    step = smile.vector * smile.step
    length = float(torch.linalg.vector_norm(step)) * -0.5
    expected = session.manipulate(session.add(square(A)), step, length, mask)
    np.testing.assert_array_equal(pixels(answer), shown(expected))


def test_formats(http: httpx.Client) -> None:
    kinds: tuple[Kind, ...] = ("jpeg", "webp")
    for kind in kinds:
        answer = http.post("/v1/edit", **form(edit_body(format=kind), a=A, b=B))
        assert answer.headers["content-type"] == f"image/{kind}"
        assert answer.content == encoded(Image.fromarray(session_edit(A, B)), kind)


def test_what_the_service_says_of_itself(http: httpx.Client) -> None:
    assert http.get("/v1/health").json() == {"status": "ok", "model": "tiny.safetensors"}
    about = http.get("/v1/model").json()
    assert about["size"] == tiny.SIZE
    assert about["directions"] == ["smile", "hair_length"]
    http.get("/v1/nothing")
    text = http.get("/metrics").text
    assert 'stylemap_requests_total{endpoint="/v1/health",status="200"}' in text
    assert 'stylemap_requests_total{endpoint="other",status="404"}' in text
    assert "/v1/nothing" not in text


def _small(**change: Any) -> dict[str, Any]:
    return edit_body() | change


@pytest.mark.parametrize(
    ("path", "request_", "status", "words"),
    [
        ("/v1/edit", {"json": edit_body("0" * 64, sha(B))}, 404, f"there is no image {'0' * 64}: upload it"),
        ("/v1/edit", form(edit_body(), a=A), 400, "references.0.image: 'b' is no SHA-256"),
        ("/v1/edit", form(edit_body(), a=A, b=b"no image"), 415, "b is not a JPEG, PNG or WebP"),
        ("/v1/edit", form(edit_body(), a=A, b=B[:-40]), 415, "damaged or incomplete"),
        ("/v1/edit", form(edit_body(mask="ellipse:1,2"), a=A, b=B), 400, "ellipse"),
        ("/v1/edit", form(edit_body(mask="/etc/passwd"), a=A, b=B), 400, "'/etc/passwd' is no SHA-256"),
        ("/v1/edit", form(edit_body(mask="m"), a=A, b=B, m=mask_file(16)[0]), 400, "a mask has 32×32 pixels"),
        ("/v1/edit", form(_small(weight=2), a=A, b=B), 400, "weight: Input should be less than"),
        ("/v1/edit", form(_small(wait=2), a=A, b=B), 400, "wait: Extra inputs"),
        ("/v1/edit", {"files": {"a": ("a", A)}}, 400, "no field 'request'"),
        ("/v1/edit", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "Invalid JSON"),
        ("/v1/edit", {"content": b"{}"}, 415, "application/json or multipart/form-data"),
        ("/v1/edit", {"json": {"original": "x" * 40_000}}, 413, "the limit is 32768 bytes"),
        ("/v1/encode", form({"image": "a", "format": "tar"}, a=A), 400, "format: Input should be"),
        ("/v1/interpolate", form({"a": "a", "b": "a", "weights": []}, a=A), 400, "weights: "),
        ("/v1/manipulate", form({"image": "a", "direction": "ears"}, a=A), 400, "no 'ears' here, but smile"),
        ("/v1/images", {"content": b"text"}, 415, "the upload is not a JPEG, PNG or WebP"),
        ("/v1/images", {"content": bytes((20 << 20) + 1)}, 413, "the limit is 20971520 bytes"),
        ("/v1/images", {"content": photo_file(6000, 5400)}, 415, "the limit is 32 million"),
    ],
)
def test_bad_input(http: httpx.Client, path: str, request_: dict[str, Any], status: int, words: str) -> None:
    answer = http.post(path, **request_)
    error = answer.json()["error"]
    assert answer.status_code == status, error
    assert words in error
    assert "\n" not in error


def test_uploads_by_name(http: httpx.Client) -> None:
    other = photo_file(seed=9)
    assert http.get(f"/v1/images/{sha(other)}").status_code == 404
    wrong = http.put(f"/v1/images/{sha(A)}", content=other)
    assert wrong.status_code == 400
    assert sha(other) in wrong.json()["error"]
    assert http.put(f"/v1/images/{sha(A)}", content=A).status_code == 201
    assert http.get(f"/v1/images/{sha(A)}").json()["bytes"] == len(A)
    for bad in ("../../../etc/passwd", "A" * 64):
        assert http.get(f"/v1/images/{bad}").status_code in (400, 404)


def test_pages_elsewhere_do_not_ask(http: httpx.Client) -> None:
    assert http.get("/v1/model", headers={"host": "elsewhere.example"}).status_code == 421
    origin = {"origin": "http://elsewhere.example"}
    assert http.post("/v1/edit", **form(edit_body(), a=A, b=B), headers=origin).status_code == 403


def test_the_table_of_photos_is_not_walked_while_the_model_changes_it(
    served: tuple[httpx.Client, Local], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, service = served
    http.post("/v1/edit", **form(edit_body(), a=A, b=B))

    class Changing(OrderedDict[Any, Any]):
        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError("OrderedDict mutated during iteration")

    engine = service.engine
    table = Changing()
    for photo, handle in engine._photos.items():
        table[photo] = handle
    monkeypatch.setattr(engine, "_photos", table)
    work = Edit(Photo("public", sha(A)), (Part(Photo("public", sha(B)), Mask(text=MASK)),))
    read = engine.read(Task(work, time.time() + 60))
    assert read.fault is None
    assert not read.photos


def test_forgotten_photos_are_encoded_again(served: tuple[httpx.Client, Local]) -> None:
    http, service = served
    first = http.post("/v1/edit", **form(edit_body(), a=A, b=B))
    service.engine._most, before = 1, service.engine._most
    try:
        for seed in range(3):
            http.post("/v1/encode", **form({"image": "c"}, c=photo_file(seed=20 + seed)))
        again = http.post("/v1/edit", json=edit_body(sha(A), sha(B)))
    finally:
        service.engine._most = before
    assert again.headers["x-photos"] == "known=0, encoded=2"
    assert again.content == first.content
