"""Messages: what is written is read back, and nothing else gets through."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stylemap.editor import protocol
from stylemap.editor.limits import Limits
from stylemap.editor.protocol import Ack, MaskUpdate, ProtocolError, Stroke
from stylemap.editor.scene import Scene
from stylemap.editor.studio import Studio

LIMITS = Limits()
NAMES = (
    "type scene seq final original references weight sliders mix image mask shift on strength codes".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=120), st.sampled_from([8, 32]))
def test_any_bytes_are_read_or_refused(data: bytes, size: int) -> None:
    try:
        message = protocol.parse_binary(data, size, LIMITS)
    except ProtocolError:
        return
    assert isinstance(message, Stroke | MaskUpdate | Ack)


@given(st.integers(1, 3), st.integers(0, 3), st.binary(max_size=64))
def test_any_body_after_a_valid_header_is_read_or_refused(kind: int, flags: int, body: bytes) -> None:
    data = bytes([kind, flags, 1, 0, 7, 0, 0, 0]) + body
    try:
        message = protocol.parse_binary(data, 4, LIMITS)
    except ProtocolError:
        return
    if isinstance(message, Stroke):
        assert np.isfinite(message.points).all()
        assert 0 < message.radius <= 4
    if isinstance(message, MaskUpdate):
        assert message.pixels.shape == (4, 4)


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        update = protocol.parse_text(text, LIMITS)
    except ProtocolError:
        return
    assert 0 <= update.seq < 2**32


@given(JSON)
def test_any_json_is_a_scene_or_refused(value: Any) -> None:
    try:
        scene = Scene.model_validate(value)
    except ValidationError:
        return
    assert Scene.model_validate_json(scene.model_dump_json()) == scene


@pytest.mark.parametrize(
    "scene",
    [
        {"weight": 10**400},
        {"weight": float("nan")},
        {"weight": True},
        {"weight": "1"},
        {"references": [{"mask": 1, "image": "g0"}] * 2},
        {"references": [{"mask": 1}]},
        {"references": [{"mask": 1.5, "image": "g0"}]},
        {"references": [{"mask": True, "image": "g0"}]},
        {"references": [{"mask": "1", "image": "g0"}]},
        {"references": [{"mask": 1, "image": "g0", "on": 1}]},
        {"references": [{"mask": 1, "image": "g0", "shift": [0]}]},
        {"sliders": {"smile": {"strength": 3}}},
        {"original": "x" * 65},
        {"original": ""},
        {"path": "/etc/passwd"},
    ],
)
def test_scenes_out_of_bounds_are_refused(scene: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Scene.model_validate(scene)
    with pytest.raises(ProtocolError) as refused:
        protocol.parse_text(json.dumps({"type": "scene", "seq": 1, "scene": scene}), LIMITS)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "scene",
    [
        {"references": [{"mask": i, "image": "g0"} for i in range(9)]},
        {"mix": {"image": "g0", "codes": [8]}},
        {"sliders": {"frown": {"strength": 1}}},
    ],
)
def test_scenes_of_another_model_are_refused(studio: Studio, scene: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        studio.check(studio.clients.create(), Scene.model_validate(scene))


def test_a_deep_text_is_refused() -> None:
    with pytest.raises(ProtocolError):
        protocol.parse_text("[" * 30000, LIMITS)


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_strokes_come_back(mask: int, seq: int, erase: bool, final: bool) -> None:
    points = [(1.5, -2.0), (3.25, 30.0)]
    data = protocol.stroke(mask, seq, points, 2.5, 0.25, erase=erase, final=final)
    read = protocol.parse_binary(data, 32, LIMITS)
    assert isinstance(read, Stroke)
    assert (read.mask, read.seq, read.erase, read.final) == (mask, seq, erase, final)
    assert (read.radius, read.hardness, read.points.tolist()) == (2.5, 0.25, [list(p) for p in points])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 300]))
def test_runs_come_back(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    pixels = np.repeat(random.integers(0, 256, (size, 1), np.uint8), size, 1) * (random.random() < 0.8)
    pixels = pixels.astype(np.uint8)
    assert (protocol.decode_runs(protocol.encode_runs(pixels), size) == pixels).all()


def test_frames_come_back() -> None:
    assert protocol.parse_frame(protocol.frame(5, 9, 1.5, b"image", True)) == (5, 9, 1.5, b"image", True)


@pytest.mark.parametrize("pixels", [False, True])
def test_a_cameras_picture(pixels: bool) -> None:
    found = protocol.parse_binary(protocol.camera_picture(7, b"rgb", pixels=pixels), 16, Limits())
    assert found == protocol.CameraPicture(7, b"rgb", pixels)


@pytest.mark.parametrize("kind", [protocol.STROKE, protocol.MASK, protocol.ACK])
def test_only_a_cameras_picture_is_pixels(kind: int) -> None:
    with pytest.raises(protocol.ProtocolError, match="unknown flags"):
        protocol.parse_binary(bytes([kind, protocol.PIXELS, 0, 0, 1, 0, 0, 0]), 16, Limits())
