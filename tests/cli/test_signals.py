"""Commands that are told to end: nothing half-written stays, and the status says why."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stylemap.cli import app, main
from stylemap.files import only_writer
from tests.helpers import needs

needs.package("onnx")
from stylemap.export import onnx  # noqa: E402


@pytest.fixture(autouse=True)
def _nobody_handles_them() -> Iterator[None]:
    """As in a new process: Ray leaves handlers of its own in this one, which end it."""
    if os.name != "posix":
        pytest.skip("signals of POSIX")
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _sends(number: int) -> Callable[..., None]:
    def send(*_: object, **__: object) -> None:
        assert signal.getsignal(number) != signal.SIG_DFL, "it would end this process"
        os.kill(os.getpid(), number)

    return send


def _export(model_file: str, folder: Path) -> int:
    words = ["export", "onnx", "--model", model_file, "--graphs", "encoder", "--output", str(folder)]
    return main([*words, "--quiet"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_ended_leaves_nothing(
    number: int, model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_write", _sends(number))
    with pytest.raises(SystemExit) as ended:
        _export(model_file, tmp_path / "out")
    assert ended.value.code == 128 + number
    assert not list((tmp_path / "out").iterdir())
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nohup asks for."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    write = onnx._write
    monkeypatch.setattr(onnx, "_write", lambda *args: (_sends(signal.SIGHUP)(), write(*args))[1])
    assert _export(model_file, tmp_path / "out") == 0


def test_an_export_removes_what_a_killed_one_left_and_works_alone(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / "out" / ".export.abc"
    left.mkdir(parents=True)
    (left / "decoder.onnx").write_bytes(b"half")
    with only_writer(tmp_path / "out"):
        assert _export(model_file, tmp_path / "out") == 1
    assert f"another run is writing to {tmp_path / 'out'}" in capsys.readouterr().err
    assert left.exists()
    assert _export(model_file, tmp_path / "out") == 0
    assert not left.exists()


def test_an_interruption_before_the_command_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "build_parser", build)
    assert main(["--version"]) == 130
    assert capsys.readouterr().err == "stylemap: interrupted\n"


def test_an_interruption_in_a_finalizer(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops it there."""

    class Dropped:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def write(*_: object) -> None:
        Dropped()
        time.sleep(20)

    monkeypatch.setattr(onnx, "_write", write)
    hook = sys.unraisablehook
    began = time.monotonic()
    assert _export(model_file, tmp_path / "out") == 130
    assert time.monotonic() - began < 15
    assert capsys.readouterr().err == "stylemap: interrupted\n"
    assert sys.unraisablehook is hook
    assert not list((tmp_path / "out").iterdir())
