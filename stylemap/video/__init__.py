"""Moving pictures: frames of a video in, frames out as a video, an animation or the pages of a TIFF.

Frames are read and written one at a time. Videos are PyAV's: the extra ``stylemap[video]``.
"""

from stylemap.video.reading import CLIP_SUFFIXES, Clip, is_clip
from stylemap.video.writing import MOVING_SUFFIXES, RATE, VIDEO_SUFFIXES, Writer, open_writer

__all__ = [
    "CLIP_SUFFIXES",
    "MOVING_SUFFIXES",
    "RATE",
    "VIDEO_SUFFIXES",
    "Clip",
    "Writer",
    "is_clip",
    "open_writer",
]


def __dir__() -> list[str]:
    return __all__
