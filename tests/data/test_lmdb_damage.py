"""LMDBs that are cut, damaged, unfinished or something else: one line that names what, never a signal."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from stylemap.cli import main
from stylemap.data import lmdb_check, lmdb_writer
from stylemap.data.folder import find
from stylemap.data.lmdb_store import LmdbDataset
from stylemap.data.open import open_dataset
from stylemap.images import ImageError, UnreadableError
from tests.helpers import needs

lmdb: ModuleType = needs.package("lmdb")
SIDE, COUNT = 24, 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        side = 64 if number % 7 == 0 else SIDE
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(here / f"{number}.png")
    return here


@pytest.fixture(scope="module")
def store(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("store") / "x.lmdb"
    lmdb_writer.write_folder(target, find(photos), [SIDE, 48])
    return target


def put(path: Path, **entries: bytes) -> None:
    with lmdb.open(str(path), map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)


# Reads damaged copies one after the other; a signal ends it, and the test sees that.
_READ_ALL = """
import json, pathlib, sys
from stylemap.data.lmdb_store import LmdbDataset
told = {}
for copy in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    told[copy.name] = ""
    try:
        dataset = LmdbDataset(copy, int(sys.argv[2]), skip_corrupt=True)
        for index in range(len(dataset)):
            dataset[index]
    except (ValueError, OSError) as error:
        told[copy.name] = str(error)
print(json.dumps(told))
"""


def test_no_damage_ends_the_process(store: Path, tmp_path: Path) -> None:
    whole = (store / "data.mdb").read_bytes()
    rng = random.Random(0)
    copies: dict[str, bytes | bytearray] = {}
    lengths = [0, 1, 15, 150, 4095, 4096, 8191, 8192, len(whole) - 4096, len(whole) - 1]
    for length in [*lengths, *(rng.randrange(len(whole)) for _ in range(20))]:
        copies[f"cut-{length}"] = whole[:length]
    for number in range(60):
        data = copies[f"pages-{number}"] = bytearray(whole)
        for _ in range(rng.choice((1, 3, 30))):
            start = rng.randrange(len(data) // 4096) * 4096
            if rng.random() < 0.5:  # the header or the first pointers of a page
                data[start + rng.randrange(64)] = rng.randrange(256)
            else:
                data[start : start + 4096] = rng.randbytes(4096)
    for name, content in copies.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, tmp_path, str(SIDE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-400:]}"
    told: dict[str, str] = json.loads(done.stdout)
    assert told.keys() == copies.keys()
    assert not [line for line in told.values() if "\n" in line]
    for name, line in told.items():
        if name.startswith("cut"):
            tiny = len(copies[name]) < 200 and ("is empty" in line or "no LMDB" in line)
            assert tiny or "truncated" in line, f"{name}: {line}"
    found = [line for name, line in told.items() if name.startswith("pages")]
    assert sum("damaged" in line or "no LMDB" in line or "truncated" in line for line in found) > 20


def test_whole_stores_pass_at_every_stage(tmp_path: Path) -> None:
    rng = random.Random(2)
    with lmdb.open(str(tmp_path / "x"), map_size=1 << 25) as environment:
        for step in range(8):
            with environment.begin(write=True) as transaction:
                for i in range(100):
                    key = f"16-{step * 100 + i:05d}".encode()
                    transaction.put(key, rng.randbytes(rng.choice((20, 900, 5000))))
                for i in range(0, step * 100, 7):
                    transaction.delete(f"16-{i:05d}".encode())
            lmdb_check.check_pages(tmp_path / "x" / "data.mdb")


def test_what_is_no_store_is_named(store: Path, photos: Path, tmp_path: Path) -> None:
    put(tmp_path / "none", length=b"0")
    with pytest.raises(ValueError, match="holds no images: its length is 0"):
        LmdbDataset(tmp_path / "none", SIDE)
    with lmdb.open(str(tmp_path / "begun"), map_size=1 << 20):
        pass
    with pytest.raises(ValueError, match="without entries: nothing was written"):
        LmdbDataset(tmp_path / "begun", SIDE)
    shutil.copytree(store, tmp_path / "locked")
    (tmp_path / "locked" / "data.mdb").unlink()
    for opened in (lambda name: open_dataset(name, SIDE), lambda name: LmdbDataset(name, SIDE)):
        with pytest.raises(
            (ImageError, FileNotFoundError), match=r"lock\.mdb of an LMDB, whose data\.mdb is"
        ):
            opened(str(tmp_path / "locked"))
    with pytest.raises(ImageError, match=r"x\.lmdb in it is an LMDB: name that"):
        open_dataset(str(store.parent), SIDE)
    (tmp_path / "text.mdb").write_text("no pages\n" * 2000)
    with pytest.raises(ValueError, match=r"text\.mdb is no LMDB"):
        open_dataset(str(tmp_path / "text.mdb"), SIDE)
    with pytest.raises(ValueError, match=r"is no LMDB"):
        lmdb_writer.write_folder(tmp_path / "text.mdb", find(photos), [SIDE])


def test_a_length_beyond_the_keys(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "x")
    put(tmp_path / "x", length=b"1000000000")
    with pytest.raises(UnreadableError, match=f"holds 1000000000 images and has {COUNT} of size {SIDE}"):
        LmdbDataset(tmp_path / "x", SIDE)
    kept = LmdbDataset(tmp_path / "x", SIDE, skip_corrupt=True)
    assert len(kept) == COUNT
    assert [name for name, _ in kept.skipped] == [f"{SIDE}-{COUNT:05d} to {SIDE}-999999999"]
    del kept
    put(tmp_path / "x", length=b"9" * 5000)
    with pytest.raises(ValueError, match="missing or no number"):
        LmdbDataset(tmp_path / "x", SIDE)


# Limits the size of files, which LMDB meets as it does a full disk, and writes.
_WRITE = """
import resource, sys
from stylemap.cli import main
for limit in map(int, sys.argv[1].split(",")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
    print(main(sys.argv[2:]))
"""


def test_no_room_for_the_file(photos: Path, tmp_path: Path) -> None:
    words = ["data", "lmdb", photos, "--sizes", str(SIDE), "--output", tmp_path / "x.lmdb", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, "0,5000,36000,70000,-1", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["1", "1", "1", "1", "0"], done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith(f"stylemap data: error: cannot write {tmp_path / 'x.lmdb'}: ")
        assert line.endswith("; run again to go on")
    assert len(LmdbDataset(tmp_path / "x.lmdb", SIDE)) == COUNT


# In a namespace of its own: mounts a small disk, fills it to some bytes, writes, makes room and goes on.
_ON_A_SMALL_DISK = """
import errno, json, pathlib, subprocess, sys
from stylemap.cli import main
from stylemap.data.lmdb_store import LmdbDataset
disk, photos, side = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1024k", "none", disk]).returncode:
    sys.exit(77)
for number, left in enumerate((0, 40_000, 80_000)):
    target = disk / f"{number}.lmdb"
    words = ["data", "lmdb", photos, "--sizes", side, "--output", str(target), "--quiet"]
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - left)
    first = main(words)
    try:
        LmdbDataset(target, int(side))
        seen = "whole"
    except (ValueError, OSError) as error:
        seen = str(error)
    (disk / "filler").unlink()
    print(json.dumps([first, seen, main(words)]))
    subprocess.run(["rm", "-r", target])
"""


def test_full_disk(photos: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or not sys.platform.startswith("linux"):
        pytest.skip("a small disk of its own needs Linux's unshare")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", _ON_A_SMALL_DISK, tmp_path, photos, str(SIDE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this user may not mount a disk")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(first, second) for first, _, second in found] == [(1, 0)] * 3, done.stderr
    for number, (line, (_, seen, _)) in enumerate(zip(done.stderr.splitlines(), found, strict=True)):
        target = tmp_path / f"{number}.lmdb"
        assert line == f"stylemap data: error: cannot write {target}: disk full; run again to go on"
        assert "no LMDB at" in seen or "written to it yet" in seen or "is unfinished" in seen


def test_sizes_are_bounded_before_any_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["data", "lmdb", str(photos), "--sizes", "100000"],
        ["data", "lmdb", "builtin:faces", "--sizes", "16,0"],
        ["data", "faces", "--size", "100000"],
    ):
        assert main([*words, "--output", str(tmp_path / "out")]) == 1
        assert "must be from 1 to 16384, got " in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
