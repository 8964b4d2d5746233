"""Whole-or-nothing writing."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from stylemap import files
from stylemap.files import make_folder, only_writer, read_text, write_whole


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    with write_whole(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert os.listdir(path.parent) == ["a.bin"]


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")]
)
def test_failure_inside_leaves_nothing_and_keeps_the_old(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write() -> None:
        with write_whole(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with write_whole(tmp_path / "a.bin") as file, open("/dev/full", "wb", buffering=0) as full:
            file.write(b"some")
            full.write(b"x")

    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match=r"cannot write .*a\.bin: No space left on device"):
        write()
    assert os.listdir(tmp_path) == []


def test_what_stands_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, kind in ((file, "a file"), (Path(os.devnull), "a device")):
        with pytest.raises(FileExistsError, match=f"^{path} is {kind}, not a folder$"):
            make_folder(path)
        with pytest.raises(FileExistsError, match="not a folder"), only_writer(path):
            pass
        with (
            pytest.raises(FileExistsError, match=f"cannot write {path}/a: {path} is {kind}, not a folder"),
            write_whole(path / "a"),
        ):
            pass


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_text_from_a_pipe_is_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert read_text(pipe) == "", "nobody writes to it"
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.close(reader)
    with pytest.raises(TimeoutError, match=r"pipe cannot be read: nothing came in 0.2 seconds"):
        read_text(pipe)
    threading.Timer(0.05, lambda: (os.write(writer, b"a text"), os.close(writer))).start()
    assert read_text(pipe) == "a text"


def test_a_platform_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with only_writer(tmp_path):
        with pytest.raises(ValueError, match="another run is writing"), only_writer(tmp_path):
            pass
        monkeypatch.setattr(files, "_HAS_LOCKS", False)
        with only_writer(tmp_path), only_writer(tmp_path / "new"):
            assert (tmp_path / "new").is_dir()
