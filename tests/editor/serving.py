"""A running server, and small clients of it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stylemap.edit.direction_set import NamedDirection, save_directions
from stylemap.editor import protocol, server
from stylemap.editor.limits import Limits
from stylemap.editor.models import Models
from stylemap.editor.studio import Studio
from stylemap.export.runtime import Runtime
from stylemap.model import StyleMapGAN
from tests.helpers import needs, tiny

# Tests ask faster than people do.
PATIENT = Limits(request_rate=1e6, session_rate=1e6, upload_rate=1e6)


def patient(**limits: Any) -> Limits:
    """The same with other limits."""
    return dataclasses.replace(PATIENT, **limits)


def studio(limits: Limits = PATIENT, model: StyleMapGAN | Runtime | None = None, **options: Any) -> Studio:
    return server.open_studio(model or tiny.model(), options.pop("name", "tiny"), limits=limits, **options)


def two_directions(folder: Path) -> Path:
    """A file of directions for the tiny model."""
    path = folder / "two.safetensors"
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, *tiny.CONFIG.stylemap_shape, generator=random)
    save_directions(
        {"smile": NamedDirection(vectors[0], 4.0), "hair_length": NamedDirection(vectors[1], 4.0)}, path
    )
    return path


def red_and_dark(path: Path, **notes: str) -> Path:
    """A segmenter of two labels: 1 where a picture is red, by the sign of the normalised first channel."""
    onnx = needs.package("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = make.make_tensor("w", kind, [2, 3, 1, 1], [-1, 0, 0, 1, 0, 0])
    graph = make.make_graph(
        [make.make_node("Conv", ["x", "w"], ["y"])],
        "two",
        [make.make_tensor_value_info("x", kind, [1, 3, 16, 16])],
        [make.make_tensor_value_info("y", kind, [1, 2, 16, 16])],
        [weight],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    make.set_model_props(model, notes)
    onnx.save(model, path)
    return path


@contextlib.contextmanager
def running(studio: Studio | Models, token: str | None = None) -> Iterator[str]:
    """The address of a server that runs until the end of the block."""
    listener = server.listen("127.0.0.1", 0)
    running = server.make_server(studio, ("127.0.0.1", "localhost"), token)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


class Painter:
    """A WebSocket client in few words."""

    def __init__(self, address: str, query: str = "", **options: Any) -> None:
        # Entered by hand: tests also leave without a goodbye.
        self.socket: ClientConnection = connect(f"ws://{address}/socket{query}", **options).__enter__()
        self.hello: dict[str, Any] = json.loads(self.socket.recv(10))
        self.session: str = self.hello["session"]
        self.seq = 0
        self.frames = 0

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ending(self) -> tuple[int, str]:
        """Code and reason of the server's closing this connection."""
        try:
            while True:
                self.socket.recv(10)
        except ConnectionClosed as closed:
            ending = closed.rcvd
        return (ending.code, ending.reason) if ending else (0, "")

    def scene(self, scene: dict[str, Any], final: bool = True) -> int:
        self.seq += 1
        self.socket.send(json.dumps({"type": "scene", "seq": self.seq, "final": final, "scene": scene}))
        return self.seq

    def stroke(self, mask: int, points: list[tuple[float, float]], radius: float, **options: Any) -> int:
        self.seq += 1
        self.socket.send(protocol.stroke(mask, self.seq, points, radius, **options))
        return self.seq

    def image(self, seq: int) -> np.ndarray:
        """The exact frame that shows change number ``seq``, H×W×3."""
        while True:
            message = self.socket.recv(20)
            assert isinstance(message, bytes), message
            number, shown, _, data, exact = protocol.parse_frame(message)
            self.frames += 1
            self.socket.send(protocol.ack(number))
            if shown >= seq and exact:
                return pixels(data)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def photo_file(width: int = 64, height: int = 48, kind: str = "PNG", seed: int = 0) -> bytes:
    """A smooth picture as the bytes of a file."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()
