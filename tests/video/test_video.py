"""Videos and animations, read and written frame by frame."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemap import video
from stylemap.images import ImageError
from tests.helpers import needs, warm
from tests.video import clips


def frames(count: int, width: int = 48, height: int = 32) -> list[Image.Image]:
    """A bar that moves over a smooth ground, whose colour tells the frames apart."""
    found = []
    for index in range(count):
        x = np.linspace(0, 120, width)[None].repeat(height, 0)
        pixels = np.stack([x, np.full_like(x, 7 * index % 200), 120 - x], -1).astype(np.uint8)
        left = index * (width - 6) // max(1, count - 1)
        pixels[:, left : left + 6] = 250
        found.append(Image.fromarray(pixels))
    return found


def _error(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a.convert("RGB")).astype(int) - np.asarray(b.convert("RGB"))).mean())


def _pages(path: Path) -> list[Image.Image]:
    picture, found = Image.open(path), []
    for index in range(picture.n_frames):
        picture.seek(index)
        found.append(picture.convert("RGB"))
    return found


def _write(path: Path, given: list[Image.Image], rate: float = 10, **options: object) -> Path:
    writer = video.open_writer(path, rate, **options)
    for frame in given:
        writer.add(frame)
    writer.finish()
    return path


@pytest.mark.parametrize(("suffix", "limit"), [(".gif", 4), (".webp", 4), (".tiff", 0), (".tif", 0)])
def test_animations(tmp_path: Path, suffix: str, limit: float) -> None:
    given = frames(5)
    path = _write(tmp_path / "new" / f"x{suffix}", given)
    found = _pages(path)
    assert len(found) == 5
    assert max(map(_error, found, given)) <= limit
    if suffix in (".gif", ".webp"):
        picture = Image.open(path)
        picture.load()
        assert picture.info["duration"] == 100
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".m4v"])
@pytest.mark.parametrize("width", [48, 47])
def test_videos(tmp_path: Path, suffix: str, width: int) -> None:
    needs.package("av")
    given = frames(6, width, 31)
    path = _write(tmp_path / f"x{suffix}", given, rate=12.5)
    clip = video.Clip(path)
    found = list(clip)
    assert clip.rate == pytest.approx(12.5, rel=0.1)
    assert [at for _, at in found] == pytest.approx([index / 12.5 for index in range(6)], abs=0.002)
    assert found[0][0].size == (48, 32)  # even, its edge repeated
    assert max(_error(a.crop((0, 0, width, 31)), b) for (a, _), b in zip(found, given)) < 8
    assert os.listdir(tmp_path) == [path.name]


def test_times_of_frames_are_kept(tmp_path: Path) -> None:
    needs.package("av")
    times = [0.0, 0.04, 0.5, 0.52, 1.0]
    for suffix in (".mp4", ".webm", ".mkv"):
        writer = video.open_writer(tmp_path / f"x{suffix}", 25)
        for frame, at in zip(frames(5), times):
            writer.add(frame, at)
        writer.finish()
        assert [at for _, at in video.Clip(tmp_path / f"x{suffix}")] == pytest.approx(times, abs=0.002)
    writer = video.open_writer(tmp_path / "x.webp", 25)
    for frame, at in zip(frames(5), times):
        writer.add(frame, at)
    writer.finish()
    picture, found = Image.open(tmp_path / "x.webp"), []
    for index in range(5):
        picture.seek(index)
        picture.load()
        found.append(picture.info["duration"])
    assert found == [40, 460, 20, 480, 40]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_copied(tmp_path: Path, suffix: str) -> None:
    needs.package("av")
    source = clips.write(tmp_path / "in.mp4", frames(30))
    path = _write(tmp_path / f"out{suffix}", frames(30), rate=25, audio=source)
    assert clips.packets_of_sound(path) == clips.packets_of_sound(source)


def test_sound_a_container_does_not_take_is_encoded_anew(tmp_path: Path) -> None:
    needs.package("av")
    source = clips.write(tmp_path / "in.mp4", frames(30))
    path = _write(tmp_path / "out.webm", frames(30), rate=25, audio=source)
    assert clips.seconds_of_sound(path) == pytest.approx(clips.seconds_of_sound(source), abs=0.05)


def test_a_source_without_sound(tmp_path: Path) -> None:
    needs.package("av")
    source = clips.write(tmp_path / "in.mp4", frames(3), sound=False)
    path = _write(tmp_path / "out.mp4", frames(3), rate=25, audio=source)
    assert len(list(video.Clip(path))) == 3


def test_a_clip_can_be_read_again(tmp_path: Path) -> None:
    needs.package("av")
    given = frames(7)
    clip = video.Clip(clips.write(tmp_path / "in.mp4", given))
    assert (clip.rate, clip.count) == (25, 7)
    for _ in range(2):
        assert max(_error(a, b) for (a, _), b in zip(clip, given, strict=True)) == 0
    assert video.is_clip(tmp_path / "in.MP4")
    (tmp_path / "folder.mp4").mkdir()
    assert not video.is_clip(tmp_path / "folder.mp4")
    assert not video.is_clip(tmp_path / "a.png")


def test_a_turned_video_comes_upright(tmp_path: Path) -> None:
    needs.package("av")
    source = clips.write(tmp_path / "in.mp4", frames(2), sound=False)
    data = source.read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # the matrix of the track: a quarter turn
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    minus = ((1 << 32) - (1 << 16)).to_bytes(4, "big")
    matrix = zero + one + zero + minus + zero + zero
    (tmp_path / "turned.mp4").write_bytes(data[:at] + matrix + data[at + 24 :])
    upright, _ = next(iter(video.Clip(tmp_path / "turned.mp4")))
    assert upright.size == (32, 48)
    assert _error(upright, frames(2)[0].rotate(-90, expand=True)) == 0


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"x\.bmp: a moving picture ends in \.gif, \.webp"):
        video.open_writer(tmp_path / "x.bmp")
    for rate in (0, -1, float("nan"), 1e9):
        with pytest.raises(ImageError, match="frames a second must be above 0"):
            video.open_writer(tmp_path / "x.gif", rate)
    writer = video.open_writer(tmp_path / "x.gif")
    with pytest.raises(ImageError, match="there is no frame"):
        writer.finish()
    writer.add(Image.new("RGB", (4, 4)))
    with pytest.raises(ImageError, match=r"x\.gif: its frames are 4 x 4, the next is 5 x 4"):
        writer.add(Image.new("RGB", (5, 4)))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/x\.gif"):
        video.open_writer(tmp_path / "file" / "x.gif")
    (tmp_path / "d.gif").mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        video.open_writer(tmp_path / "d.gif")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'stylemap\[video\]'"):
        video.open_writer(tmp_path / "x.mp4")
    assert sorted(os.listdir(tmp_path)) == ["d.gif", "file"]


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    needs.package("av")
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(ImageError, match=r"x\.mp4 is not a video"):
        video.Clip(tmp_path / "x.mp4")
    with pytest.raises(FileNotFoundError):
        video.Clip(tmp_path / "missing.mp4")


def test_a_frame_like_the_one_before_lengthens_it(tmp_path: Path) -> None:
    first, second = frames(2)
    path = _write(tmp_path / "x.gif", [first, first, second, second, first])
    found = Image.open(path)
    lengths = []
    for index in range(found.n_frames):
        found.seek(index)
        lengths.append(found.info["duration"])
    assert lengths == [200, 200, 100]
    assert max(map(_error, _pages(path), [first, second, first])) <= 4


FULL_DISK = """
import resource, sys
from stylemap import video
from tests.video.test_video import frames

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
for path in sys.argv[2:]:
    try:
        writer = video.open_writer(path)
        for frame in frames(4):
            writer.add(frame)
        writer.finish()
    except OSError as error:
        print(error)
    del writer
"""


@pytest.mark.parametrize("limit", [0, 500, 10_000])
def test_a_full_disk_is_told_with_the_name_of_the_file(
    tmp_path: Path, warm_commands: Path, limit: int
) -> None:
    """A file size limit stops the write in its middle, as a full disk does; SIGXFSZ is ignored by Python."""
    suffixes = ["gif", "webp", "tif"] + ["mp4", "mkv", "webm"] * (limit < 10_000)
    paths = [str(tmp_path / f"x.{suffix}") for suffix in suffixes]
    done = subprocess.run(
        [warm_commands / "python", "-c", FULL_DISK, str(limit), *paths],
        capture_output=True, text=True, env=warm.environment(warm_commands), check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"cannot write {path}: File too large" for path in paths]
    assert not done.stderr
    assert not list(tmp_path.iterdir())
