"""On Ray: the same results as in this process, also where workers are killed."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stylemap import bulk as package
from stylemap import images
from stylemap.bulk import cluster
from stylemap.cli import bulk as command
from stylemap.cli.app import build_parser
from tests.bulk.results import bulk, contents, rows
from tests.helpers import needs, tiny

ROOT = Path(__file__).parents[2]
CUT = ("--chunk", 8, "--batch", 2)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of two workers on this machine, for the whole module: it takes seconds to start."""
    ray = needs.package("ray")
    needs.package("ray.data")
    ray.init(
        address="local",
        num_cpus=3,  # one beside the workers', for what reads the list of chunks
        include_dashboard=False,
        object_store_memory=128 << 20,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for index, photo in enumerate(tiny.photos(48)):
        images.save(photo, folder / f"p{index}.png")
    (folder / "p30.png").write_bytes(b"none")
    return folder


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(ray: Any, model_file: str, many: Path, tmp_path: Path) -> None:
    assert bulk("reconstruct", many, tmp_path / "here", model_file, *CUT) == 0
    out = tmp_path / "out"
    words = ["bulk", "reconstruct", many, "-o", out, "--model", model_file, "--ray", "auto", *CUT]
    args = build_parser().parse_args(list(map(str, [*words, "--threads", 1, "--workers", 2])))
    settings = command._settings(args)
    pids = tmp_path / "pids"
    pids.mkdir()
    slow = _Slow(settings.load, pids)
    jobs = package.list_jobs(str(many), "reconstruct")
    out.mkdir()
    run = package.Run(package.Settings(**{**vars(settings), "load": slow}), jobs)
    killed: set[int] = set()
    stop = threading.Event()
    killer = threading.Thread(target=_kill_one, args=(pids, out, killed, stop))
    killer.start()
    try:
        done = list(cluster.on_ray(run, "auto", 2, None))
    finally:
        stop.set()
        killer.join()
    assert sorted(chunk.number for chunk in done) == list(range(6))
    assert run.finish() == (48, 1)
    assert len(killed) == 1
    assert len(list(pids.iterdir())) > 1
    assert contents(out) == contents(tmp_path / "here")


class _Slow:
    """Makes a model that takes its time, and notes in which process."""

    def __init__(self, load: Any, pids: Path) -> None:
        self.load, self.pids = load, pids

    def __call__(self) -> Any:
        model = self.load()
        decode = model.decode
        model.decode = lambda w: (time.sleep(0.1), decode(w))[1]
        (self.pids / str(os.getpid())).touch()
        return model


def _kill_one(pids: Path, out: Path, killed: set[int], stop: threading.Event) -> None:
    """Kill the worker that came first, when there are some results."""
    while not stop.is_set():
        alive = sorted(pids.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        if alive and len(list(out.glob("images/*/*.png"))) >= 3:
            killed.add(int(alive[0].name))
            os.kill(int(alive[0].name), signal.SIGKILL)
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_the_command_on_ray(
    ray: Any, model_file: str, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--ray", "auto", "--threads", 1]
    out = tmp_path / "out"
    assert bulk("reconstruct", many, out, model_file, *where, "--workers", 7) == 1
    assert "room for 3 workers of 1 CPUs and 0 GPUs, and 7 are wanted" in capsys.readouterr().err
    assert bulk("reconstruct", many, out, model_file, *where, "--workers", 1, "--fail-fast") == 1
    error = capsys.readouterr().err
    assert f"row 30, {many}/p30.png: " in error
    assert error.count("\n") == 1, "nothing of Ray's"
    assert not (out / "manifest.jsonl").exists()


def test_without_ray(
    model_file: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)  # its import fails
    assert bulk("reconstruct", photos / "p1.png", tmp_path / "a", model_file, "--ray", "auto") == 0
    assert "in this process: --ray needs Ray Data: " in capsys.readouterr().err
    assert rows(tmp_path / "a")[0]["status"] == "ok"
    assert bulk("reconstruct", photos / "p1.png", tmp_path / "b", model_file, "--ray", "10.0.0.1:6379") == 1
    assert "--ray needs Ray Data" in capsys.readouterr().err
