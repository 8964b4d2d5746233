"""Several models at one address, and the edit on photos that are not kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from stylemap import images
from stylemap.editor import protocol
from stylemap.editor.models import Models
from stylemap.editor.studio import Studio
from stylemap.model import StyleMapGAN
from stylemap.photo.models import Knowledge
from tests.editor import serving
from tests.editor.serving import Painter, photo_file, pixels
from tests.helpers import tiny


def _other() -> Studio:
    torch.manual_seed(5)
    return serving.studio(model=StyleMapGAN(tiny.CONFIG).eval().requires_grad_(False), name="other")


def _broken() -> Studio:
    raise ValueError("the file is damaged")


@pytest.fixture(scope="module")
def two() -> Iterator[str]:
    models = Models(serving.studio(), {"other": _other, "broken": _broken})
    with serving.running(models) as address:
        yield address


def test_each_model_has_sessions_of_its_own(two: str) -> None:
    with httpx.Client(base_url=f"http://{two}", timeout=20) as http:
        about = http.get("/api/model").json()
        assert (about["name"], about["models"]) == ("tiny", ["tiny", "other", "broken"])
        assert http.get("/api/model", params={"model": "other"}).json()["models"] == about["models"]
        made = {}
        for model in ("tiny", "other"):
            session = http.post("/api/sessions", params={"model": model}).json()["session"]
            assert http.put(f"/api/sessions/{session}/scene", json={"original": "g0"}).status_code == 204
            made[model] = pixels(http.get(f"/api/sessions/{session}/result").content)
        assert (made["tiny"] != made["other"]).any()
        assert http.get("/api/model", params={"model": "none"}).status_code == 404
        refused = http.get("/api/model", params={"model": "broken"})
        assert (refused.status_code, "damaged" in refused.json()["error"]) == (409, True)


def test_sockets_name_the_model_and_the_protocol(two: str) -> None:
    with Painter(two, f"?model=other&protocol={protocol.VERSION}") as painter:
        assert painter.hello["model"]["name"] == "other"
        assert painter.hello["protocol"] == protocol.VERSION
        session = painter.session
        painter.image(painter.scene({"original": "g0"}))
    with Painter(two, f"?session={session}") as painter:  # found without naming its model
        assert painter.hello["resumed"]
        assert painter.hello["model"]["name"] == "other"


@pytest.mark.parametrize("query", ["?protocol=1", "?model=none", "?model=broken"])
def test_what_cannot_be_served_is_told(two: str, query: str) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(f"ws://{two}/socket{query}") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000
    assert "version" in closed.value.rcvd.reason or "cannot be opened" in closed.value.rcvd.reason


def test_the_edit_on_another_photo(http: httpx.Client, studio: Studio) -> None:
    session = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
    assert http.post(f"{session}/apply", content=photo_file()).status_code == 409  # nothing is edited yet
    http.put(f"{session}/scene", json={"original": "g0", "references": [{"mask": 1, "image": "g1"}]})
    http.post(f"{session}/strokes", json={"mask": 1, "points": [[8, 8], [24, 20]], "radius": 5})
    photo = photo_file(tiny.SIZE, tiny.SIZE, seed=4)
    assert http.get(f"{session}/result").status_code == 200  # the gallery's are encoded when they are used
    before = studio.composer.stats()["images"]
    applied = http.post(f"{session}/apply", content=photo)
    assert studio.composer.stats()["images"] == before  # nothing of it is kept
    own = http.post(f"{session}/images", content=photo).json()["id"]
    scene = http.get(f"{session}/scene").json()
    http.put(f"{session}/scene", json={**scene, "original": own})
    assert (pixels(applied.content) == pixels(http.get(f"{session}/result").content)).all()
    wide = http.post(f"{session}/apply", params={"whole": True, "format": "jpeg"}, content=photo_file(90, 60))
    assert Image.open(io.BytesIO(wide.content)).format == "JPEG"
    assert Image.open(io.BytesIO(wide.content)).size == (90, 60)
    assert http.post(f"{session}/apply", content=b"no photo").status_code == 415


def test_a_photo_that_is_decoded_badly_is_far() -> None:
    for error, far in ((1e-6, True), (100.0, False)):
        studio = serving.studio(knowledge=Knowledge(error=error))
        with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}") as http:
            session = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
            assert http.post(f"{session}/images", content=photo_file()).json()["far"] == far


def test_a_camera_over_the_socket(address: str, studio: Studio) -> None:
    picture = images.fit_square(Image.open(io.BytesIO(photo_file(seed=8))), tiny.SIZE)
    data = io.BytesIO()
    picture.save(data, "PNG")
    with Painter(address) as painter:
        painter.scene({"original": "camera"})
        painter.seq += 1
        painter.socket.send(protocol.camera_picture(painter.seq, data.getvalue()))
        while True:
            message = painter.socket.recv(20)
            number, seq, _, frame, exact = protocol.parse_frame(message)  # type: ignore[arg-type]
            painter.socket.send(protocol.ack(number))
            if seq == painter.seq:
                break
        assert not exact
        with torch.no_grad():
            model = tiny.model()
            made = model.decode(model.encode(images.to_tensor(picture)[None]))[0]
        wanted = np.asarray(images.to_image(made)).astype(int)
        assert abs(pixels(frame) - wanted).mean() < 8  # but for JPEG
        # The exact frame follows as soon as something else changes; pictures that are none are told.
        # Engine and model differ by rounding, which may be the next of 256 levels.
        assert abs(painter.image(painter.scene({"original": "camera"})) - wanted).max() <= 1
        painter.seq += 1
        painter.socket.send(protocol.camera_picture(painter.seq, b"no picture"))
        assert "cannot be rendered" in str(painter.socket.recv(20))
        with httpx.Client(base_url=f"http://{address}") as http:
            result = http.get(f"/api/sessions/{painter.session}/result")
            assert abs(pixels(result.content) - wanted).max() <= 1
            wrong = {"original": "g0", "references": [{"mask": 1, "image": "camera"}]}
            assert http.put(f"/api/sessions/{painter.session}/scene", json=wrong).status_code == 400
    live = studio.clients.get(painter.session)
    assert live is not None
    images_before = studio.composer.stats()["images"]
    studio.clients.remove(live, "done")
    with serving.running(serving.studio()):  # time for the chore
        assert studio.composer.stats()["images"] <= images_before


def test_a_folder_of_models_is_all_of_them(model_file: str, tmp_path: Path) -> None:
    from stylemap.cli import edit_server

    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / name).write_bytes(Path(model_file).read_bytes())
    files = edit_server._files([str(tmp_path)])
    assert [Path(str(file)).name for file in files] == ["a.safetensors", "b.safetensors"]
    assert list(edit_server._others(files)) == ["b.safetensors"]
    assert edit_server._files(None) == [None]
    with pytest.raises(ValueError, match="one name"):
        edit_server._others([model_file, model_file])
