"""Services of the tiny model, and what their answers must be."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from PIL import Image
from torch import Tensor

from stylemap import EditSession, images
from stylemap.editor import server
from stylemap.editor.photos import Crop, decode
from stylemap.serving.application import create_app, make_store
from stylemap.serving.engine import Engine
from stylemap.serving.service import Local
from stylemap.serving.settings import LIMITS, Settings
from tests.editor.serving import photo_file
from tests.helpers import tiny

A, B = photo_file(seed=1), photo_file(70, 90, seed=2)
MASK = "ellipse:0.5,0.6,0.3,0.25"


@contextlib.contextmanager
def service(model: str, folder: Path, port: int = 0, **settings: Any) -> Iterator[tuple[httpx.Client, Local]]:
    """A client of a service in this process, and the service."""
    own = Settings.of(
        {"model": model, "photos": str(folder), "token_rate": 1e6, "token_burst": 1e6, **settings}
    )
    store = make_store(own)
    local = Local(Engine(own, store), own.queue, own.batch_on("cpu"))
    listener = server.listen("127.0.0.1", port)
    app = create_app(own, local, store)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
            yield client, local
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


class Deployment:
    """A service at an address that stays the same when it ends and another one begins."""

    def __init__(self, model: str, folder: Path, **settings: Any) -> None:
        self.model, self.folder, self.settings, self.port = model, folder, settings, 0
        self._stack = contextlib.ExitStack()

    def start(self) -> Local:
        client, local = self._stack.enter_context(
            service(self.model, self.folder, self.port, **self.settings)
        )
        self.port = client.base_url.port or 0
        return local

    def stop(self) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def form(body: dict[str, Any], **files: bytes) -> dict[str, Any]:
    """The arguments of a request with photos in it."""
    return {
        "data": {"request": json.dumps(body)},
        "files": {name: (name, data) for name, data in files.items()},
    }


def edit_body(a: str = "a", b: str = "b", mask: str = MASK, **more: Any) -> dict[str, Any]:
    return {"original": a, "references": [{"image": b, "mask": mask, "shift": [4, -3]}], **more}


def square(data: bytes, crop: Crop | None = None) -> Tensor:
    return images.to_tensor(decode(data, tiny.SIZE, crop or Crop(), LIMITS)[0])


def session_edit(
    a: bytes, b: bytes, mask: Any = MASK, weight: float = 1.0, crop: Crop | None = None
) -> np.ndarray:
    """What a session of its own makes of it, H×W×3 uint8."""
    session = EditSession(tiny.model())
    original, other = session.add(square(a, crop)), session.add(square(b))
    return shown(session.edit(original, session.reference(other, mask, (4, -3)), weight))


def shown(image: Tensor) -> np.ndarray:
    return np.asarray(images.to_image(image))


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def mask_file(size: int = tiny.SIZE) -> tuple[bytes, Tensor]:
    """A soft mask as PNG, and as a tensor."""
    grey = np.zeros((size, size), np.uint8)
    grey[8:20, 10:24] = 255
    grey[20:24, 10:24] = 128
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue(), torch.from_numpy(grey).float() / 255
