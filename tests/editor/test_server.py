"""The running server: edits over HTTP and WebSocket are those of the model."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from websockets.exceptions import ConnectionClosed

from stylemap import edit, images
from stylemap.editor.limits import Limits
from stylemap.editor.studio import Studio
from stylemap.export.runtime import Runtime
from stylemap.model import StyleMapGAN
from tests.editor import serving
from tests.editor.serving import Painter, photo_file, pixels
from tests.helpers import needs, tiny

SIZE = tiny.SIZE
SCENE = {"original": "g0", "references": [{"mask": 1, "image": "g1"}]}
ACROSS = [(6.0, 6.0), (26.0, 26.0)]


def _blend(studio: Studio, mask: np.ndarray, shift: tuple[float, float] = (0, 0), weight: float = 1) -> Any:
    """What the model says about g0 with a part of g1, H×W×3 of 0 to 255."""
    pictures = torch.stack([images.to_tensor(studio.gallery.image(id)) for id in ("g0", "g1")])
    with torch.no_grad():
        w = tiny.model().encode(pictures)
        coverage = torch.from_numpy(mask).float() / 255
        result = edit.blend(tiny.model(), w[:1], [w[1:]], [coverage], [shift], weight)
    return np.asarray(images.to_image(result)).astype(int)


def _open(http: httpx.Client) -> str:
    answer = http.post("/api/sessions")
    assert answer.status_code == 201
    return f"/api/sessions/{answer.json()['session']}"


def test_an_edit_over_http(http: httpx.Client, studio: Studio) -> None:
    session = _open(http)
    assert http.get(f"{session}/result").status_code == 409  # no original yet
    scene = {**SCENE, "references": [{"mask": 1, "image": "g1", "shift": [8, 0]}], "weight": 0.5}
    assert http.put(f"{session}/scene", json=scene).status_code == 204
    stroke = {"mask": 1, "points": ACROSS, "radius": 7}
    assert http.post(f"{session}/strokes", json=stroke).status_code == 204
    mask = pixels(http.get(f"{session}/masks/1").content)[..., 0].astype(np.uint8)
    assert mask[16, 16] == 255
    assert mask[2, 28] == 0
    result = http.get(f"{session}/result")
    assert result.headers["content-type"] == "image/png"
    assert abs(pixels(result.content) - _blend(studio, mask, (8, 0), 0.5)).max() <= 1
    assert http.get(f"{session}/scene").json()["references"][0]["shift"] == [8, 0]
    # The same mask as a picture, and gone again.
    picture = io.BytesIO()
    Image.fromarray(255 - mask).save(picture, "PNG")
    assert http.put(f"{session}/masks/1", content=picture.getvalue()).status_code == 204
    assert (
        abs(pixels(http.get(f"{session}/result").content) - _blend(studio, 255 - mask, (8, 0), 0.5)).max()
        <= 1
    )
    assert http.delete(session).status_code == 204
    assert http.get(f"{session}/result").status_code == 404


def test_amplify_multiplies_the_stylemap_by_a_painted_map(http: httpx.Client, studio: Studio) -> None:
    session = _open(http)
    picture = images.to_tensor(studio.gallery.image("g0"))[None]
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:16], mask[16:20] = 255, 100
    with torch.no_grad():
        w = tiny.model().encode(picture)
        painted = edit.modulate_map(w, 1 + torch.from_numpy(mask).float() / 255, 0.7)
        expected = [tiny.model().decode(changed) for changed in (0.3 * w, painted)]
    for slider, result in zip(({"strength": -0.7}, {"strength": 0.7, "mask": 5}), expected, strict=True):
        scene = {"original": "g0", "sliders": {"amplify": slider}}
        assert http.put(f"{session}/scene", json=scene).status_code == 204
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "PNG")
        if "mask" in slider:
            assert http.put(f"{session}/masks/5", content=file.getvalue()).status_code == 204
        shown = pixels(http.get(f"{session}/result").content).astype(int)
        assert abs(shown - np.asarray(images.to_image(result)).astype(int)).max() <= 1


def test_random_faces_of_a_class() -> None:
    torch.manual_seed(3)
    model = StyleMapGAN(tiny.CONFIG, ("plain", "glasses")).eval().requires_grad_(False)
    with torch.no_grad():
        model.class_vectors.weight.mul_(3)
    studio = serving.studio(model=model)
    with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}", timeout=20) as http:
        assert http.post("/api/sessions").json()["model"]["classes"] == ["plain", "glasses"]
        session = _open(http)
        found = {}
        for name in ("plain", "glasses"):
            answer = http.post(f"{session}/random", json={"seed": 5, "class_name": name, "truncation": 1})
            assert answer.json()["class_name"] == name
            shown = pixels(http.get(f"/api/images/{answer.json()['id']}").content).astype(int)
            with torch.no_grad():
                w = model.map(edit.latents(model, 1, 5), torch.tensor([model.class_names.index(name)]))
                expected = np.asarray(images.to_image(model.decode(w))).astype(int)
            assert abs(shown - expected).max() <= 1
            found[name] = shown
        assert abs(found["plain"] - found["glasses"]).max() > 1
        refused = http.post(f"{session}/random", json={"seed": 5, "class_name": "hats"})
        assert refused.status_code == 400
        assert "plain, glasses" in refused.json()["error"]


def test_a_model_of_one_class_offers_no_choice(http: httpx.Client) -> None:
    assert http.post("/api/sessions").json()["model"]["classes"] == []
    assert http.post(f"{_open(http)}/random", json={"class_name": "plain"}).status_code == 400


def test_uploads_and_random_faces(http: httpx.Client) -> None:
    session = _open(http)
    ids = []
    for kind in ("PNG", "JPEG", "WEBP"):
        answer = http.post(f"{session}/images?name=me", content=photo_file(kind=kind))
        assert answer.status_code == 201
        ids.append(answer.json()["id"])
    assert len(set(ids)) == 3
    assert pixels(http.get(f"/api/images/{ids[0]}").content).shape == (SIZE, SIZE, 3)
    thumb = http.get(f"/api/images/{ids[0]}?thumb=1")
    assert thumb.headers["content-type"] == "image/jpeg"
    again = {"if-none-match": thumb.headers["etag"]}
    assert http.get(f"/api/images/{ids[0]}?thumb=1", headers=again).status_code == 304
    face = http.post(f"{session}/random", json={"seed": 5, "truncation": 0.5}).json()
    assert face["seed"] == 5
    again = http.post(f"{session}/random", json={"seed": 5, "truncation": 0.5}).json()
    first, second = (http.get(f"/api/images/{one['id']}").content for one in (face, again))
    assert first == second
    http.put(f"{session}/scene", json={"original": face["id"]})
    assert (pixels(http.get(f"{session}/result").content) == pixels(first)).all()
    assert http.delete(f"{session}/images/{face['id']}").status_code == 409  # in use
    assert http.delete(f"{session}/images/{ids[0]}").status_code == 204
    assert http.get(f"/api/images/{ids[0]}").status_code == 404


def test_the_crop_is_the_square_asked_for(http: httpx.Client) -> None:
    session = _open(http)
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, :40], photo[:20, 40:], photo[20:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")

    def square(query: str) -> np.ndarray:
        answer = http.post(f"{session}/images?{query}", content=file.getvalue())
        return pixels(http.get(f"/api/images/{answer.json()['id']}").content)

    assert abs(square("cx=0.25&side=0.5") - (255, 0, 0)).max() <= 2
    assert abs(square("cx=0.875&cy=0.25&side=0.25") - (0, 255, 0)).max() <= 2
    # The square turned by 90° clockwise: its left is above.
    turned = square("cx=0.75&cy=0.5&side=0.8&angle=90")
    assert abs(turned[:, :12] - (0, 255, 0)).max() <= 2
    assert abs(turned[:, -12:] - (0, 0, 255)).max() <= 2
    # Outside the photo is its reflection.
    outside = square("cx=1&cy=0.5&side=1")
    assert abs(outside[:8, -8:] - (0, 255, 0)).max() <= 2
    assert abs(outside[-8:, -8:] - (0, 0, 255)).max() <= 2


def test_frames_fade_the_edit_in(http: httpx.Client, studio: Studio) -> None:
    session = _open(http)
    http.put(f"{session}/scene", json=SCENE)
    http.post(f"{session}/strokes", json={"mask": 1, "points": ACROSS, "radius": 9})
    mask = pixels(http.get(f"{session}/masks/1").content)[..., 0].astype(np.uint8)
    strip = pixels(http.get(f"{session}/frames?count=5&format=strip").content)
    assert strip.shape == (SIZE, 5 * SIZE, 3)
    for index in (0, 2, 4):
        frame = strip[:, index * SIZE : (index + 1) * SIZE]
        assert abs(frame - _blend(studio, mask, weight=index / 4)).max() <= 1
    gif = Image.open(io.BytesIO(http.get(f"{session}/frames?count=5").content))
    assert (gif.format, gif.n_frames, gif.info["loop"]) == ("GIF", 8, 0)
    for wrong in ("count=1", "count=999", "count=nan", "format=exe", "duration=0"):
        assert http.get(f"{session}/frames?{wrong}").status_code == 400


def test_frames_follow_the_brush(address: str, studio: Studio) -> None:
    with Painter(address) as painter:
        before = painter.image(painter.scene(SCENE))
        for step in range(30):
            seq = painter.stroke(1, [(step, step), (step + 1.0, step + 1.0)], 6, final=step == 29)
        after = painter.image(seq)
        client = studio.clients.get(painter.session)
        assert client is not None
        mask = client.mask(1)
        assert abs(after - _blend(studio, mask)).max() <= 1
        assert (before != after).any()
        erased = painter.image(painter.stroke(1, [(0, 0), (32, 32)], 12, erase=True, final=True))
        assert (erased == before).all()


def test_an_exported_model_edits_alike(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        needs.package(package)
    from stylemap.export import export_onnx

    graphs = ("encoder", "decoder", "stylecodes", "synthesis", "editor")
    export_onnx(tiny.model(), tmp_path, graphs, photos=tiny.photos(2))
    studio = serving.studio(model=Runtime(tmp_path))
    with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}") as http:
        session = _open(http)
        http.put(f"{session}/scene", json=SCENE)
        http.post(f"{session}/strokes", json={"mask": 1, "points": ACROSS, "radius": 9})
        mask = pixels(http.get(f"{session}/masks/1").content)[..., 0].astype(np.uint8)
        assert abs(pixels(http.get(f"{session}/result").content) - _blend(studio, mask)).max() <= 1
        # There is no mapping network among these files.
        refused = http.post(f"{session}/random", json={})
        assert refused.status_code == 409
        assert "mapping" in refused.json()["error"]


def test_two_browsers_do_not_see_each_other(address: str, studio: Studio) -> None:
    with Painter(address) as one, Painter(address) as other:
        first, second = one.image(one.scene(SCENE)), other.image(other.scene({**SCENE, "original": "g2"}))
        one.image(one.stroke(1, ACROSS, 9, final=True))
        assert (other.image(other.scene({**SCENE, "original": "g2"})) == second).all()
        assert (first != second).any()


def test_a_session_goes_on_after_the_connection_broke(address: str) -> None:
    with Painter(address) as painter:
        painter.scene(SCENE)
        painted = painter.image(painter.stroke(1, ACROSS, 9, final=True))
    with Painter(address, f"?session={painter.session}") as again:
        assert again.hello["resumed"]
        assert again.session == painter.session
        assert (again.image(0) == painted).all()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x09" * 8,
        b"\x01\x00\x01\x00" + b"\xff" * 16,
        b"\x03\x00\x00\x00\x63\x00\x00\x00",
        "{}",
        "[]",
        "x",
    ],
)
def test_a_malformed_message_closes_its_client_alone(address: str, message: bytes | str) -> None:
    with Painter(address) as good, Painter(address) as bad:
        good.image(good.scene(SCENE))
        bad.socket.send(message)
        code, reason = bad.ending()
        assert code == 1008
        assert reason
        good.image(good.stroke(1, ACROSS, 5, final=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=64) | st.text(max_size=32), max_size=5))
def test_the_server_survives_anything(address: str, messages: list[bytes | str]) -> None:
    with Painter(address) as painter:
        try:
            for message in messages:
                painter.socket.send(message)
        except ConnectionClosed:
            pass
    with Painter(address) as painter:
        assert painter.image(painter.scene({"original": "g0"})).shape == (SIZE, SIZE, 3)


def test_the_least_recently_used_session_makes_room() -> None:
    limits = Limits(sessions=3, session_rate=1e6, request_rate=1e6)
    studio = serving.studio(limits)
    with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}") as http:
        with Painter(address) as open_one:
            open_one.image(open_one.scene(SCENE))
            sessions = [_open(http) for _ in range(2)]
            http.get(f"{sessions[0]}/scene")  # used again: the other one goes
            _open(http)
            assert http.get(f"{sessions[0]}/scene").status_code == 200
            assert http.get(f"{sessions[1]}/scene").status_code == 404
            with Painter(address), Painter(address), Painter(address):
                assert open_one.ending()[0] == 4000
        assert len(studio.clients) == 3


def test_who_waits_for_a_session_that_ends_is_told(http: httpx.Client, studio: Studio) -> None:
    session = _open(http)
    http.put(f"{session}/scene", json=SCENE)
    answers: list[httpx.Response] = []
    gate = threading.Event()

    def hold() -> Generator[None, None, None]:
        gate.wait(10)
        yield

    client = studio.clients.get(session.rsplit("/", 1)[1])
    other = studio.clients.get(_open(http).rsplit("/", 1)[1])
    assert client is not None
    assert other is not None
    studio.scheduler.submit(other, hold())  # the scheduler is busy
    waiting = threading.Thread(target=lambda: answers.append(http.get(f"{session}/frames?count=48")))
    waiting.start()
    end = time.monotonic() + 10
    while not client.jobs and time.monotonic() < end:
        time.sleep(0.01)
    assert http.delete(session).status_code == 204
    gate.set()
    waiting.join(10)
    assert answers[0].status_code == 409
    assert "ended" in answers[0].json()["error"]


def test_idle_sessions_are_forgotten() -> None:
    studio = serving.studio(Limits(idle_seconds=0))
    studio.scheduler.start()
    client = studio.open_client()
    time.sleep(0.01)
    studio.clients.sweep()
    assert studio.clients.get(client.id) is None
    studio.scheduler.close()


def test_nothing_is_left_of_clients_that_vanish() -> None:
    """Connect, upload, paint and go, from several threads: what the server holds does not grow."""
    studio = serving.studio(Limits(sessions=4, session_rate=1e6, request_rate=1e6, upload_rate=1e6))

    def vanish(address: str, count: int) -> None:
        with httpx.Client(base_url=f"http://{address}", timeout=20) as http:
            for index in range(count):
                painter = Painter(address)
                mine = http.post(f"/api/sessions/{painter.session}/images", content=photo_file(seed=index))
                if mine.status_code == 201:  # otherwise the session made room for another one already
                    painter.scene({"original": mine.json()["id"], "references": SCENE["references"]})
                painter.stroke(1, ACROSS, 9)
                painter.socket.socket.close()  # without a goodbye

    with serving.running(studio) as address:
        for index in range(2):
            threads = [threading.Thread(target=vanish, args=(address, 12)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            end = time.monotonic() + 10
            while studio.composer.stats()["images"] > 4 + 24 and time.monotonic() < end:
                time.sleep(0.02)
            assert len(studio.clients) <= 4, index
            # At most one upload for each session that is left, and the gallery's.
            assert studio.composer.stats()["images"] <= 4 + 24
        with Painter(address) as painter:
            painter.image(painter.scene(SCENE))
