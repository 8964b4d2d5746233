"""Two nodes on the loopback interface; a process that is killed, and the job that goes on by itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stylemap.train import checkpoints, record
from tests.helpers import warm

ROOT = Path(__file__).parents[2]
TRAIN = (
    "train", "--data", "faces", "--size", "16", "--latent-spatial-size", "4", "--latent-channel-size", "4",
    "--channel-table", "16:8,8:8,4:8", "--batch", "8", "--iterations", "12", "--log-every", "1",
    "--sample-every", "0", "--checkpoint-every", "2", "--device", "cpu", "--resume",
)  # fmt: skip

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # A store of its own for every start. The launchers' keeps addresses by the number of failures, which
    # differs between nodes: those of dead processes are found again.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}


@contextmanager
def _nodes(folder: Path, commands: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The launcher of each of two nodes, with one process each, as docs/scale.md starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for node in (0, 1):
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
            "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", folder.name,
            "--rdzv-conf", f"is_host={int(node == 0)}", "--local-addr", "127.0.0.1", "--max-restarts", "3",
            "--monitor-interval", "0.1",
            "--no-python", str(commands / "stylemap"), *TRAIN, "--output", str(folder / "run"),
        ]  # fmt: skip
        environment = warm.environment(commands, **ENVIRONMENT)
        with open(folder / f"node{node}.log", "wb") as log:
            started.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
                )
            )
    try:
        yield started
    finally:
        for each in started:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _run(folder: Path, commands: Path, kill: bool) -> list[dict[str, float]]:
    folder.mkdir()
    with _nodes(folder, commands) as launchers:
        end = time.monotonic() + 200
        while kill and not checkpoints.found(folder / "run" / "checkpoints"):
            assert time.monotonic() < end
            assert all(each.poll() is None for each in launchers), "it ended before it was killed"
            time.sleep(0.01)
        if kill:
            (child,) = _children(launchers[1].pid)
            os.kill(child, signal.SIGKILL)
        for node, each in enumerate(launchers):
            assert each.wait(timeout=200) == 0, (folder / f"node{node}.log").read_text()[-3000:]
        if kill:
            assert "exitcode: -9" in (folder / "node1.log").read_text()
    return record.read(folder / "run" / "losses.jsonl")


@pytest.mark.slow
def test_a_killed_process_of_two_nodes_leaves_the_same_losses(tmp_path: Path, warm_commands: Path) -> None:
    whole = _run(tmp_path / "whole", warm_commands, kill=False)
    again = _run(tmp_path / "killed", warm_commands, kill=True)
    assert [row["iteration"] for row in whole] == list(range(1, 13))
    timeless = [
        [{key: value for key, value in row.items() if key != "its"} for row in rows]
        for rows in (whole, again)
    ]
    assert timeless[0] == timeless[1]
