"""The sessions of a server: images, scene and masks of each, and what is waiting to be rendered for it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylemap.editor import brush
from stylemap.editor.limits import Bucket, Limits
from stylemap.editor.photos import WholePhoto
from stylemap.editor.protocol import PIXEL_BYTES, Ack, CameraPicture, MaskUpdate, ProtocolError, Stroke
from stylemap.editor.scene import CAMERA, Scene
from stylemap.engine.images import ImageHandle


class Unavailable(ValueError):
    """Something well-formed that cannot be done now: an image that is gone, a limit that is reached."""


class Away(Unavailable):
    """The model is elsewhere, and does not answer now."""


@dataclass(frozen=True, eq=False)
class OwnImage:
    """An image that a session brought.

    kind: "upload" or "random". whole: of a photo that is more than the picture, the photo.
    """

    name: str
    kind: str
    picture: Image.Image
    handle: ImageHandle
    facts: dict[str, Any]
    whole: WholePhoto | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a frame is made from. Masks are the session's own arrays, copied.

    picture: of the camera, where one came since the last snapshot.
    """

    scene: Scene
    masks: dict[int, NDArray[np.uint8]]
    seq: int
    final: bool
    picture: CameraPicture | None = None


@dataclass(eq=False)
class LivePicture:
    """The newest picture of a session's camera of which a frame was begun. handle: where the composer was
    asked to keep it."""

    picture: Image.Image
    handle: ImageHandle | None = None


class Connection(Protocol):
    """Where frames and notices go; any thread may call."""

    def send_frame(self, data: bytes) -> None: ...

    def send_notice(self, text: str) -> None: ...

    def send_engine(self, away: str) -> None: ...

    def close(self, reason: str) -> None: ...


@dataclass(eq=False)
class Job:
    """Work of several steps, one per turn of its session; the generator's return value is the result."""

    steps: Generator[None, None, Any]
    done: Future[Any]


class Client:
    """A session. Messages are applied by the event loop, snapshots taken by the scheduler's thread."""

    def __init__(self, size: int, limits: Limits) -> None:
        self.id = secrets.token_urlsafe(18)
        self.limits = limits
        self.images: dict[str, OwnImage] = {}
        self.jobs: deque[Job] = deque()
        self.connection: Connection | None = None
        self.used = time.monotonic()
        self.uploads = Bucket(limits.upload_rate, limits.uploads)
        self.messages = Bucket(limits.message_rate, 2 * limits.message_rate)
        self.scene = Scene()
        self.job_next = False  # after a frame; of the scheduler
        self.told_away = False  # that the engine does not answer
        self.live: LivePicture | None = None  # changed in the session's turns alone
        self.dropped = 0  # pictures of the camera that a newer one replaced before they were rendered
        self.pixels = False  # whether the browser takes pixels in the place of files
        self._picture: CameraPicture | None = None
        self._size = size
        self._paint = Bucket(limits.paint_rate, 4 * limits.paint_rate)
        self._masks: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()
        self._seq, self._final, self._dirty = 0, True, False
        self._sent = self._shown = 0
        self._begun = self._newest = 0  # frames: the last one begun, and the newest of those sent

    def set_scene(self, scene: Scene, seq: int, final: bool) -> None:
        """Masks that the scene does not name any more are forgotten."""
        with self._lock:
            self.scene = scene
            self._masks = {mask: pixels for mask, pixels in self._masks.items() if mask in scene.masks}
            self._changed(seq, final)

    def apply(self, message: Stroke | MaskUpdate | Ack | CameraPicture) -> None:
        """A binary message. Masks that are not in the scene are left alone: their image may just be gone.

        Raises:
            ProtocolError: too much painted at once, or a frame answered that was not sent.
        """
        if isinstance(message, Ack):
            if message.frame > self._sent:
                raise ProtocolError("this frame was not sent")
            self._shown = max(self._shown, message.frame)
            return
        if isinstance(message, CameraPicture):
            with self._lock:
                self.dropped += self._picture is not None
                self._picture = message
                self._changed(message.seq, False)
            return
        if isinstance(message, Stroke):
            amount = brush.cost(self._size, message.points, message.radius)
            if not self._paint.take(amount):
                raise ProtocolError("strokes come faster than they can be painted")
        with self._lock:
            if message.mask in self.scene.masks:
                self._draw(message)
            self._changed(message.seq, message.final)

    def mask(self, number: int) -> NDArray[np.uint8]:
        """A copy, uint8 S×S."""
        with self._lock:
            pixels = self._masks.get(number)
            return np.zeros((self._size, self._size), np.uint8) if pixels is None else pixels.copy()

    def snapshot(self) -> Snapshot:
        """The state as it is now; what comes later makes another frame."""
        with self._lock:
            self._dirty = False
            masks = {mask: pixels.copy() for mask, pixels in self._masks.items()}
            picture, self._picture = self._picture, None
            return Snapshot(self.scene, masks, self._seq, self._final, picture)

    def again(self) -> None:
        """Another frame of the state as it is."""
        with self._lock:
            self._dirty = True

    def wants_frame(self) -> bool:
        """Whether something changed that the browser does not show, and it is ready for a frame."""
        ready = self._sent - self._shown < self.limits.frames_ahead
        return self._dirty and ready and self.connection is not None and self._has_original

    @property
    def _has_original(self) -> bool:
        original = self.scene.original
        return original is not None and (
            original != CAMERA or self._picture is not None or self.live is not None
        )

    def connect(self, connection: Connection | None, *, pixels: bool = False) -> None:
        """Frames go here from now on, beginning with the state as it is; pixels: see `protocol`."""
        with self._lock:
            self.connection = connection
            self.told_away = False
            self.pixels = pixels and 3 * self._size**2 <= PIXEL_BYTES
            self._sent = self._shown = self._seq = 0
            self._dirty = connection is not None

    def begin_frame(self) -> int:
        """The turn of a frame, for `send`. Several may be made at the same time."""
        with self._lock:
            self._begun += 1
            return self._begun

    def send(self, turn: int, connection: Connection, frame: Callable[[int], bytes]) -> bool:
        """Send a frame, unless a newer one was faster or the connection is another one now.

        Args:
            turn: from `begin_frame`.
            frame: the message with a number; the first is 1.
        """
        with self._lock:
            if turn < self._newest or connection is not self.connection:
                self.dropped += 1
                return False
            self._newest = turn
            self._sent += 1
            connection.send_frame(frame(self._sent))
            return True

    def add_image(self, image: OwnImage) -> str:
        """Returns its id, which cannot be guessed: who knows it may see the image."""
        id = f"u{secrets.token_urlsafe(12)}"
        self.images[id] = image
        return id

    def require_room(self) -> None:
        """Raises Unavailable where the session may bring no more images."""
        if len(self.images) >= self.limits.uploads:
            raise Unavailable(f"a session holds at most {self.limits.uploads} images: remove one first")
        if not self.uploads.take():
            raise Unavailable("too many images at once: wait a moment")

    @property
    def kept_bytes(self) -> int:
        """Of the photos that are kept whole."""
        return sum(len(one.whole.data) for one in list(self.images.values()) if one.whole is not None)

    def _draw(self, message: Stroke | MaskUpdate) -> None:
        if isinstance(message, MaskUpdate):
            self._masks[message.mask] = message.pixels.copy()
            return
        pixels = self._masks.setdefault(message.mask, np.zeros((self._size, self._size), np.uint8))
        brush.paint(pixels, message.points, message.radius, message.hardness, erase=message.erase)

    def _changed(self, seq: int, final: bool) -> None:
        # Changes over HTTP have no number: they take none away from the browser's.
        self._seq, self._final, self._dirty = max(self._seq, seq), final, True
        self.used = time.monotonic()


class Clients:
    """Sessions by id, in order of use. Used from the event loop only.

    ``closed`` is called for each that goes, whatever the reason.
    """

    def __init__(self, size: int, limits: Limits, closed: Callable[[Client], None]) -> None:
        self._size, self._limits, self._closed = size, limits, closed
        self._clients: dict[str, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients.values()))

    def create(self) -> Client:
        """A new session; the one that was used longest ago makes room."""
        while len(self._clients) >= self._limits.sessions:
            # Sessions nobody looks at go before open ones.
            order = sorted(self._clients.values(), key=lambda c: (c.connection is not None, c.used))
            self.remove(order[0], "this session made room for another one")
        client = Client(self._size, self._limits)
        self._clients[client.id] = client
        return client

    def get(self, id: str) -> Client | None:
        client = self._clients.get(id)
        if client is not None:
            client.used = time.monotonic()
        return client

    def require_bytes(self, client: Client, count: int) -> None:
        """Raises Unavailable where a session, or all together, would keep more of photos than allowed."""
        limits = self._limits
        if client.kept_bytes + count > limits.kept_bytes:
            raise Unavailable(f"a session keeps photos of {limits.kept_bytes >> 20} MB: remove one first")
        if sum(one.kept_bytes for one in self) + count > limits.kept_bytes_all:
            raise Unavailable("the server keeps as many photos as it can: try again later")

    def remove(self, client: Client, reason: str) -> None:
        """Forget a session and all it holds; its connection is closed with the reason."""
        if self._clients.pop(client.id, None) is None:
            return
        if client.connection is not None:
            client.connection.close(reason)
        self._closed(client)

    def sweep(self) -> None:
        """Forget sessions without a connection that were not used for a while."""
        oldest = time.monotonic() - self._limits.idle_seconds
        for client in self:
            if client.connection is None and client.used < oldest:
                self.remove(client, "idle")


@contextlib.contextmanager
def told(client: Client, connection: Connection) -> Iterator[None]:
    """What goes wrong with a frame is said where it was to go."""
    try:
        yield
    except Away as error:  # once: what follows is rendered when the model is back
        if not client.told_away:
            client.told_away = True
            connection.send_engine(str(error))
    except (ValueError, OSError, KeyError) as error:
        connection.send_notice(f"this cannot be rendered: {error}")
    except Exception:
        connection.send_notice("the model failed on this edit: the server's log says why")
        raise
