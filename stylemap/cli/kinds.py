"""What kind of file --output names: a picture, a moving one, or a folder; never a folder called x.mp4."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from stylemap import images, video

_FILES = {*images.WRITE_SUFFIXES, *video.MOVING_SUFFIXES}
# Pictures and videos that Python's table lacks.
_UNKNOWN = {
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
    ".jp2",
    ".psd",
    ".exr",
    ".tga",
    ".mkv",
    ".m4v",
    ".flv",
    ".wmv",
    ".apng",
}


def is_file(path: Path) -> bool:
    """Whether results go into one file of that name; an existing folder is one whatever its name."""
    return path.suffix.lower() in _FILES and not path.is_dir()


def is_moving(path: Path, count: int) -> bool:
    """Whether ``count`` images become the frames of one file.

    Raises:
        ValueError: a kind that is not written, or one that holds a single image.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return False
    if suffix not in _FILES:
        if suffix in _UNKNOWN or suffix in mimetypes.MimeTypes().types_map[True]:
            raise ValueError(
                f"{path}: {suffix} is not written; name a folder, or a file that ends in "
                f"{', '.join(sorted(_FILES))}"
            )
        return False
    if suffix in video.VIDEO_SUFFIXES or suffix == ".gif":
        return True
    if count > 1 and suffix not in video.MOVING_SUFFIXES:
        raise ValueError(
            f"{count} images cannot go into one file {path}: name a folder, or a file that ends in "
            f"{', '.join(video.MOVING_SUFFIXES)}"
        )
    return count > 1
