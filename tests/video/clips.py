"""Small videos, with a tone, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

RATE, SAMPLES = 25, 48_000


def write(path: Path, frames: Iterable[Image.Image], *, sound: bool = True, lossless: bool = True) -> Path:
    """A video of these frames, 25 a second, and as long a tone of 440 Hz."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=RATE)
        stream.pix_fmt = "rgb24" if lossless else "yuv420p"
        stream.options = {"crf": "0"} if lossless else {}
        tone = container.add_stream("aac", rate=SAMPLES) if sound else None
        count = 0
        for picture in frames:
            if count == 0:
                stream.width, stream.height = picture.size
            for packet in stream.encode(av.VideoFrame.from_image(picture)):
                container.mux(packet)
            count += 1
        for packet in stream.encode(None):
            container.mux(packet)
        if tone is not None:
            wave = np.sin(2 * np.pi * 440 * np.arange(SAMPLES * count // RATE) / SAMPLES)
            frame = av.AudioFrame.from_ndarray((20_000 * wave).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLES, 0, Fraction(1, SAMPLES)
            for packet in (*tone.encode(frame), *tone.encode(None)):
                container.mux(packet)
    return path


def seconds_of_sound(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def packets_of_sound(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
