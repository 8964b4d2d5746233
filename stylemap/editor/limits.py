"""Every limit of the server in one place, and the buckets that keep rates within them."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one server accepts.

    sessions: at once; the least recently used one goes when another comes.
    idle_seconds: a session without a connection is forgotten after this.
    uploads: images a session may own at once (uploads and random faces).
    upload_bytes, upload_pixels: of one file; pixels are counted before anything is decoded.
    kept_bytes, kept_bytes_all: of the uploads that are kept whole, by one session and by all together.
    upload_rate: files a second of one session, after a burst of ``uploads``.
    session_rate: new sessions a second of one address, after a burst of ``sessions``.
    request_rate: HTTP requests a second of one address, after a burst of five times as many.
    message_rate: WebSocket messages a second, after a burst of twice as many.
    text_bytes: of a JSON message or request.
    references: laid over one original.
    points: of one stroke message.
    paint_rate: pixels a second that strokes of one session may cover.
    jobs: renderings of one session that wait at once.
    frames: of one animation.
    frames_ahead: frames a browser may leave unanswered before no more are rendered for it.
    """

    sessions: int = 32
    idle_seconds: float = 300.0
    uploads: int = 32
    upload_bytes: int = 20 << 20
    upload_pixels: int = 32_000_000
    kept_bytes: int = 256 << 20
    kept_bytes_all: int = 1 << 30
    upload_rate: float = 4.0
    session_rate: float = 2.0
    request_rate: float = 200.0
    message_rate: float = 300.0
    text_bytes: int = 32 << 10
    references: int = 8
    points: int = 128
    paint_rate: float = 40e6
    jobs: int = 4
    frames: int = 48
    frames_ahead: int = 2


class Bucket:
    """Allows ``rate`` a second on average and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._then = burst, time.monotonic()

    def take(self, amount: float = 1.0) -> bool:
        """Whether this much is allowed now; if so it is taken."""
        now = time.monotonic()
        self._level = min(self.burst, self._level + (now - self._then) * self.rate)
        self._then = now
        if amount > self._level:
            return False
        self._level -= amount
        return True


class Buckets:
    """One bucket per key, for keys that come from outside: the table never grows beyond ``most``."""

    def __init__(self, rate: float, burst: float, most: int = 1024) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: str) -> bool:
        # Popped and put back: the dictionary stays in order of use.
        bucket = self._buckets.pop(key, None) or Bucket(self._rate, self._burst)
        self._buckets[key] = bucket
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take()
