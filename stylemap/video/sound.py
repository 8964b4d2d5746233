"""The sound of a video: copied into another, or encoded anew where its container does not take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stylemap.video.reading import opened, pyav


class Sound:
    """The first audio stream of ``path``, muxed into ``container`` as far as the pictures have come.

    start: what is time 0 of the pictures in ``path``, in seconds. Without a stream nothing happens.
    """

    def __init__(self, container: Any, path: Path, start: float) -> None:
        self._container, self._start = container, start
        self._source: Any = opened(path)
        found = self._source.streams.audio
        self.copied = False
        self._target: Any = None
        if not found:
            return
        stream = found[0]
        self.copied = stream.codec_context.name in container.supported_codecs
        if self.copied:
            self._target = container.add_stream_from_template(stream)
        else:
            codec = {"opus": "libopus"}.get(container.default_audio_codec, container.default_audio_codec)
            self._target = container.add_stream(codec, rate=48_000)
        self._packets = self._source.demux(stream)
        self._waiting: Any = None

    def until(self, seconds: float) -> None:
        """Mux what sounds before that time of the pictures."""
        while self._target is not None:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                self._flush()
                return
            if packet.pts is None:
                continue
            if float(packet.pts * packet.time_base) - self._start > seconds:
                self._waiting = packet
                return
            self._mux(packet)

    def close(self) -> None:
        """Mux the rest and close the file."""
        self.until(float("inf"))
        self._source.close()

    def _mux(self, packet: Any) -> None:
        offset = round(self._start / packet.time_base)
        if self.copied:
            packet.pts -= offset
            packet.dts = packet.pts if packet.dts is None else packet.dts - offset
            packet.stream = self._target
            if offset <= 0 or packet.pts >= 0:  # an encoder's priming lies before 0, and stays
                self._container.mux(packet)
            return
        for frame in packet.decode():
            frame.pts = None if frame.pts is None else frame.pts - round(self._start / frame.time_base)
            self._encode(frame)

    def _encode(self, frame: Any) -> None:
        for packet in self._target.encode(frame):
            self._container.mux(packet)

    def _flush(self) -> None:
        target, self._target = self._target, None
        if not self.copied:
            for packet in target.encode(None):
                self._container.mux(packet)


def has_sound(path: Path) -> bool:
    """Whether a file has an audio stream."""
    pyav()
    with opened(path) as container:
        return bool(container.streams.audio)
