"""stylemap edit-server."""

from __future__ import annotations

import builtins
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from stylemap.cli import main
from tests.editor.serving import photo_file
from tests.helpers import tiny


def _serve(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A server as a process of its own, and its address."""
    command = [sys.executable, "-m", "stylemap", "edit-server", "--port", "0", "--threads", "1", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    return process, found.group()


def test_the_server_starts_serves_and_stops(model_file: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_bytes(photo_file())
    process, address = _serve("--model", model_file, "--images", str(tmp_path), "--precision", "bf16")
    try:
        with httpx.Client(base_url=address, transport=httpx.HTTPTransport(retries=5)) as http:
            about = http.get("/api/model").json()
            assert (about["name"], about["size"]) == ("tiny.safetensors", tiny.SIZE)
            assert http.get("/api/gallery").json()[0] == {"id": "f0", "name": "holiday.png"}
            assert "<title>" in http.get("/").text
            session = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
            assert http.put(f"{session}/scene", json={"original": "f0"}).status_code == 204
            assert http.get(f"{session}/result").status_code == 200
            files = re.findall(r'(?:src|href)="(static/[^"]+)"', http.get("/").text)
            assert "static/app.js" in files
            assert all(http.get(f"/{name}").status_code == 200 for name in files)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, 130)


def test_other_hosts_need_a_token(model_file: str) -> None:
    process, address = _serve("--model", model_file, "--host", "0.0.0.0")
    try:
        token = re.search(r"\?token=(\S{20,})", address)
        assert token
        base = re.sub(r"//[^:]+:(\d+)/.*", r"//127.0.0.1:\1", address)
        with httpx.Client(base_url=base, transport=httpx.HTTPTransport(retries=5)) as http:
            assert http.get("/api/model").status_code == 401
            assert http.get("/api/model", params={"token": token.group(1)}).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "--port"),
        (["--threads", "0"], "--threads"),
        (["--images", "/no/such/folder"], "/no/such/folder"),
        (["--directions", "/no/such/file"], "/no/such/file"),
        (["--host", "192.0.2.1"], "cannot listen"),
    ],
)
def test_bad_arguments_are_one_line(
    model_file: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edit-server", "--port", "0", "--model", model_file, *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_missing_packages_are_named(
    model_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    for name in [
        name for name in sys.modules if name.startswith(("stylemap.editor", "uvicorn", "starlette"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["edit-server", "--model", model_file]) == 1
    assert "stylemap[editor]" in capsys.readouterr().err
