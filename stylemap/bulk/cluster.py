"""The workers of a bulk run as actors of Ray Data."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from stylemap.bulk.engine import reason
from stylemap.bulk.run import Run
from stylemap.bulk.settings import Settings
from stylemap.bulk.store import Chunk
from stylemap.bulk.worker import Worker
from stylemap.optional import require

_MAX_BLOCKS = 20_000  # Ray keeps some of each in the driver's memory
_MEMORY = 256 << 20  # of the object store: it holds numbers of chunks, no images
_CPUS = 4


def import_ray() -> Any:
    """The ray module, with ray.data.

    Raises:
        ImportError: with what to install, where it is missing.
    """
    require("ray.data", "--ray", name="Ray Data")
    return importlib.import_module("ray")


class _Actor:
    """What Ray Data keeps for each worker: it lives as long as the run, and is started anew when it dies."""

    def __init__(self, settings: Settings) -> None:
        self._worker = Worker(settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The chunks, and of each why it is not done, "" where it is. What is raised here instead, Ray wraps
        until nothing is left of its cause."""
        faults = []
        for number, offset, count in zip(batch["number"], batch["offset"], batch["count"]):
            try:
                self._worker.work(Chunk(int(number), int(offset), int(count)))
                faults.append("")
            except Exception as error:
                faults.append(reason(error))
        return {**batch, "fault": faults}


def on_ray(run: Run, address: str, workers: int | None = None, gpus: bool | None = None) -> Iterator[Chunk]:
    """Do what is missing of a run on Ray; the chunks, each when it is done.

    The chunks of a worker that is killed are taken up again where its journal ends.

    Args:
        address: of a cluster; "auto" takes the one of this machine, and starts one where there is none.
        workers: how many; by default one for each GPU, or for each ``threads`` CPUs.
        gpus: whether each worker has a GPU; by default where the cluster has some.

    Raises:
        ImportError: Ray is missing.
        ConnectionError: there is no cluster at the address.
        ValueError: more is asked for than the cluster has.
        RuntimeError: what stopped a worker: a row that failed where the run is to stop, a full disk.
    """
    ray = import_ray()
    if not run.todo:
        return
    own = not ray.is_initialized()
    if own:
        connect(ray, address)
    try:
        have = ray.cluster_resources()
        per = _per_worker(run.settings, have, gpus)
        room = _room(have, per)
        if (workers or 1) > room:
            raise ValueError(
                f"the cluster has room for {room} workers of {per['num_cpus']:g} CPUs and "
                f"{per['num_gpus']:g} GPUs, and {workers or 1} are wanted"
            )
        yield from _through(ray, run, per, workers or room)
    finally:
        if own:
            ray.shutdown()


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """The ray module, connected to the cluster at an address as `connect` does, until the end of the block.

    Raises:
        ImportError: Ray is missing.
        ConnectionError: there is no cluster at the address.
    """
    ray = require("ray", "--ray", name="Ray")
    own = not ray.is_initialized()
    if own:
        connect(ray, address)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def connect(ray: Any, address: str) -> None:
    """Join the cluster at an address; "auto": this machine's, or one of its own where there is none; "local":
    one of its own.

    Raises:
        ConnectionError: there is no cluster there.
    """
    # Ray Data writes a bar of its own, and a warning for every worker that dies.
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address != "local":
        try:
            ray.init(address=address, **quiet)
            return
        except ConnectionError:
            if address != "auto":
                raise
    ray.init(address="local", include_dashboard=False, object_store_memory=_MEMORY, **quiet)


def _per_worker(settings: Settings, have: dict[str, float], gpus: bool | None) -> dict[str, float]:
    on_gpu = have.get("GPU", 0) >= 1 if gpus is None else gpus
    threads = settings.threads or min(_CPUS, int(have.get("CPU", 1)))
    return {"num_cpus": threads, "num_gpus": 1 if on_gpu else 0}


def _room(have: dict[str, float], per: dict[str, float]) -> int:
    """How many workers fit."""
    cpus = int(have.get("CPU", 0) // per["num_cpus"])
    return min(cpus, int(have.get("GPU", 0) // per["num_gpus"])) if per["num_gpus"] else cpus


def _through(ray: Any, run: Run, per: dict[str, float], workers: int) -> Iterator[Chunk]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors are raised as well
    rows = [{"number": each.number, "offset": each.offset, "count": each.count} for each in run.todo]
    blocks = min(len(rows), _MAX_BLOCKS)
    done = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        batch_size=1,
        fn_constructor_args=(run.settings,),
        concurrency=min(workers, len(rows)),
        runtime_env={"env_vars": _environment(int(per["num_cpus"]))},
        **per,
    )
    for row in done.iter_rows():
        if row["fault"]:
            raise RuntimeError(row["fault"])
        yield Chunk(row["number"], row["offset"], row["count"])


def _environment(threads: int) -> dict[str, str]:
    """Of the workers: as many threads as they have CPUs, whatever the driver was told."""
    path = os.environ.get("PYTHONPATH")
    return {"OMP_NUM_THREADS": str(threads), **({"PYTHONPATH": path} if path else {})}
