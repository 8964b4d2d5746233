"""What an input may be, and what is said of one that is none."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from stylemap.bulk import Job, list_jobs
from stylemap.cli import main
from tests.bulk.results import bulk, contents, rows
from tests.helpers import needs


def _images(output: Path) -> list[bytes]:
    return [(output / row["output"]).read_bytes() for row in rows(output) if row["output"]]


@pytest.fixture(scope="module")
def expected(model_file: str, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    out = tmp_path_factory.mktemp("expected") / "out"
    assert bulk("reconstruct", f"{photos}/p[0-2].png", out, model_file) == 0
    return _images(out)


def test_a_tar_file(model_file: str, photos: Path, tmp_path: Path, expected: list[bytes]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for index in range(3):
            archive.add(photos / f"p{index}.png", f"shard/p{index}.png")
            archive.add(photos / "broken.png", f"shard/p{index}.json")
    assert bulk("reconstruct", tmp_path / "*.tar", tmp_path / "out", model_file) == 0
    assert [row["original"] for row in rows(tmp_path / "out")] == [
        f"{tmp_path}/a.tar#shard/p{index}.png" for index in range(3)
    ]
    assert _images(tmp_path / "out") == expected
    (tmp_path / "b.tar").write_bytes(b"no tar" * 100)
    assert bulk("reconstruct", tmp_path / "b.tar", tmp_path / "other", model_file) == 1


def test_an_lmdb(model_file: str, photos: Path, tmp_path: Path, expected: list[bytes]) -> None:
    needs.package("lmdb")
    (tmp_path / "in").mkdir()
    for index in range(3):
        shutil.copy(photos / f"p{index}.png", tmp_path / "in")
    pack = ["data", "lmdb", tmp_path / "in", "--sizes", 32, "-o", tmp_path / "store", "--quiet"]
    assert main(list(map(str, pack))) == 0
    assert bulk("reconstruct", tmp_path / "store", tmp_path / "out", model_file) == 0
    assert [row["original"] for row in rows(tmp_path / "out")] == [
        f"{tmp_path}/store#32-{index:05d}" for index in range(3)
    ]
    assert len(_images(tmp_path / "out")) == 3


def test_urls(model_file: str, photos: Path, tmp_path: Path, expected: list[bytes]) -> None:
    memory = needs.package("fsspec").filesystem("memory")
    for index in range(3):
        memory.pipe(f"/bucket/in/p{index}.png", (photos / f"p{index}.png").read_bytes())
    memory.pipe("/bucket/jobs.csv", b"original\nin/p1.png\nin/missing.png\nmemory://bucket/in/p2.png\n")
    assert bulk("reconstruct", "memory://bucket/in", tmp_path / "a", model_file) == 0
    assert _images(tmp_path / "a") == expected
    assert bulk("reconstruct", "memory://bucket/jobs.csv", tmp_path / "b", model_file) == 0
    assert _images(tmp_path / "b") == expected[1:]
    assert rows(tmp_path / "b")[1]["status"] == "error"


class _Refused(Exception):
    """What packages of object stores raise: no OSError, and without the URL."""


def test_a_store_that_refuses_is_named(
    model_file: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Reading a folder, a table, a tar and a row, writing results: an error names the URL, in one line."""
    fsspec = needs.package("fsspec")
    memory = type(fsspec.filesystem("memory"))

    def refuse(*_: object, **__: object) -> None:
        raise _Refused("no\ncredentials")

    fsspec.filesystem("memory").pipe("/bucket/refused/p0.png", (photos / "p0.png").read_bytes())
    fsspec.filesystem("memory").pipe("/bucket/photos.tar", b"")
    for name, source in (
        ("isfile", "memory://bucket/refused"),
        ("_open", "memory://bucket/jobs.csv"),
        ("_open", "memory:///bucket/photos.tar"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(memory, name, refuse)
            assert bulk("reconstruct", source, tmp_path / "out", model_file) == 1
        assert f"error: {source}: no credentials\n" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(memory, "_open", refuse)
        assert bulk("reconstruct", "memory://bucket/refused", tmp_path / "row", model_file) == 1
    assert "/bucket/refused/p0.png: no credentials" in rows(tmp_path / "row")[0]["error"]
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(memory, "pipe_file", refuse)
        words = ["bulk", "reconstruct", photos, "-o", "memory://bucket/none", "--work", tmp_path / "w"]
        assert main([*map(str, words), "--model", model_file, "--quiet"]) == 1
    assert "error: memory://bucket/none: no credentials\n" in capsys.readouterr().err
    assert bulk("reconstruct", "memory://bucket/missing.tar", tmp_path / "out", model_file) == 1
    assert "error: memory://bucket/missing.tar: no file has this name" in capsys.readouterr().err
    assert bulk("reconstruct", "nosuch://bucket/in", tmp_path / "out", model_file) == 1
    assert "error: nosuch://bucket/in: " in capsys.readouterr().err


def test_sub_folders(photos: Path, tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a/c/1.png", ".hidden/1.png", "top.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "p0.png", tmp_path / name)
    found = [job.original for job in list_jobs(str(tmp_path), "encode", recursive=True)]
    assert found == [f"{tmp_path}/{name}" for name in ("top.png", "a/c/1.png", "b/2.png", "b/10.png")]
    assert [job.name for job in list_jobs(str(tmp_path), "encode")] == ["top"]


def test_a_job_is_one_line() -> None:
    for job in (
        Job(3, "a", "/x/a.png", options={"shift": [1, 2]}),
        Job(0, "b", "/x/\udcff.tar", "in.png", (512, 7), {}, ""),
        Job(1, "_", "", fault="no"),
    ):
        assert "\n" not in job.line()
        assert Job.of_line(job.line()) == job


@pytest.mark.parametrize(
    ("operation", "table", "arguments", "word"),
    [
        ("reconstruct", "original,refrence\na,b\n", [], "no parameter is called 'refrence'"),
        ("reconstruct", "photo\na\n", [], "has no column 'original', but photo"),
        ("edit", "original,mask\na,b\n", [], "edit needs a reference: --reference, or a column"),
        ("edit", "original\na\n", ["--shift", "1", "--mask", "m", "--reference", "r"], "shift: expected two"),
        ("mix", "original,reference\n", [], "no rows"),
        ("reconstruct", None, [], "no such file or folder"),
    ],
)
def test_an_input_that_is_none_is_refused_before_the_start(
    model_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    operation: str,
    table: str | None,
    arguments: list[str],
    word: str,
) -> None:
    source = tmp_path / "jobs.csv" if table is not None else tmp_path / "missing"
    if table is not None:
        source.write_text(table)
    assert bulk(operation, source, tmp_path / "out", model_file, *arguments) == 1
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "images").exists()


def test_flags_that_an_operation_lacks(model_file: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        bulk("encode", photos, tmp_path / "out", model_file, "--mask", "box:0,0,1,1")
    assert bulk("reconstruct", photos, tmp_path / "out", model_file, "--workers", 2) == 1
    assert bulk("reconstruct", photos, tmp_path / "out", model_file, "--batch", 0) == 1
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("shards", [False, True])
def test_an_output_on_a_store(
    model_file: str, photos: Path, tmp_path: Path, shards: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same files as in a folder; another machine goes on with what is missing."""
    fsspec = needs.package("fsspec")
    store, cut = fsspec.filesystem("memory"), ("--chunk", 5, "--batch", 2, *(["--shards"] if shards else []))
    url, out = f"memory://bucket/run{shards}", tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file, *cut) == 0
    for machine in ("first", "second"):
        words = ["bulk", "reconstruct", photos, "-o", url, "--work", tmp_path / machine, *cut]
        assert main([*map(str, words), "--model", model_file, "--quiet"]) == 0
        found = {
            name[len(f"/bucket/run{shards}/") :]: store.cat_file(name)
            for name in store.find(f"/bucket/run{shards}")
        }
        assert found.keys() == {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
        for name, data in found.items():
            if name.endswith((".png", ".tar", "run.json", "jobs.jsonl")):
                assert data == (out / name).read_bytes(), name
        left = [p for p in (tmp_path / machine).rglob("*") if p.suffix in (".png", ".tar", ".journal")]
        assert not left, "what is on the store is not kept here"
        # The second one finds a chunk missing, and does it alone.
        chunk = f"/bucket/run{shards}/manifest/000001.jsonl"
        before = store.cat_file(f"/bucket/run{shards}/manifest/000000.jsonl")
        if machine == "first":
            store.rm_file(chunk)
    assert store.cat_file(f"/bucket/run{shards}/manifest/000000.jsonl") == before
    # So does the machine that did it before.
    store.rm_file(chunk)
    assert main([*map(str, words), "--model", model_file, "--quiet"]) == 0
    assert store.exists(chunk)
    # Nothing is left: a folder that says otherwise is no success, and is not emptied unasked.
    store.rm(f"/bucket/run{shards}", recursive=True)
    assert main([*map(str, words), "--model", model_file, "--quiet"]) == 1
    assert f"error: {url} holds no run, and {tmp_path / 'second'} has rows" in capsys.readouterr().err
    assert (tmp_path / "second" / "run.json").exists()


def test_a_work_folder_goes_with_a_url(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bulk("encode", photos, tmp_path / "out", model_file, "--work", tmp_path / "work") == 1
    assert "--work goes with an --output that is a URL" in capsys.readouterr().err
