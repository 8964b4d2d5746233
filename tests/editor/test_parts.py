"""Part masks: of drawn faces, and of any picture by a segmenter in an ONNX file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from stylemap.data.faces import Part
from stylemap.editor import parts, protocol
from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.serving import photo_file
from tests.helpers import needs, tiny


def _labels(found: dict[str, str]) -> np.ndarray:
    return protocol.decode_runs(base64.b64decode(found["labels"]), tiny.SIZE)


def test_the_parts_of_a_drawn_face(http: httpx.Client, studio: Studio) -> None:
    found = http.get("/api/images/g0/parts").json()
    drawn = studio.gallery.parts("g0")
    assert drawn is not None
    assert (_labels(found) == drawn).all()
    assert found["names"]["skin"] == [Part.SKIN]
    assert Part.NOSE in found["names"]["face"]
    assert Part.HAIR not in found["names"]["face"]
    assert http.get("/api/images/none/parts").status_code == 404


def test_parts_of_a_photo_need_a_segmenter(http: httpx.Client) -> None:
    session = http.post("/api/sessions").json()["session"]
    photo = http.post(f"/api/sessions/{session}/images", content=photo_file()).json()["id"]
    answer = http.get(f"/api/images/{photo}/parts")
    assert (answer.status_code, "--segmenter" in answer.json()["error"]) == (409, True)


def test_a_segmenter_tells_the_parts_of_any_picture(tmp_path: Path) -> None:
    needs.package("onnxruntime")
    file = serving.red_and_dark(tmp_path / "two.onnx", names=json.dumps(["dark", "red"]))
    found = parts.OnnxSegmenter(file)
    picture = Image.new("RGB", (tiny.SIZE, tiny.SIZE), (0, 0, 0))
    picture.paste((255, 0, 0), (0, 0, tiny.SIZE // 2, tiny.SIZE))
    labels = found.labels(picture)
    assert (labels[:, : tiny.SIZE // 2] == 1).all()
    assert (labels[:, tiny.SIZE // 2 :] == 0).all()
    assert parts.of_labels(labels, found.names).names == {"dark": [0], "red": [1]}
    studio = serving.studio(segmenter=file)
    with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}") as http:
        assert http.get("/api/model").json()["segments"]
        session = http.post("/api/sessions").json()["session"]
        photo = http.post(f"/api/sessions/{session}/images", content=photo_file()).json()["id"]
        assert set(http.get(f"/api/images/{photo}/parts").json()["names"]) <= {"dark", "red"}
        assert "hair" in http.get("/api/images/g1/parts").json()["names"]  # drawn: known exactly


def test_labels_without_names_are_numbered(tmp_path: Path) -> None:
    needs.package("onnxruntime")
    assert parts.OnnxSegmenter(serving.red_and_dark(tmp_path / "two.onnx")).names == ["part 0", "part 1"]


def test_a_file_that_is_no_network_is_one_line(tmp_path: Path) -> None:
    needs.package("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no network that ONNX Runtime opens"):
        parts.OnnxSegmenter(tmp_path / "x.onnx")
