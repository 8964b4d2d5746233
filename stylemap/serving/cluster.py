"""The service on Ray Serve: fronts that speak HTTP, and replicas with a model each.

    HTTP → front → replica that has the photo's maps, or the one with the fewest photos

A request carries its photo as Serve's multiplexed model id, which is how it finds the replica that knows it.
Where a replica dies the front asks another one, which reads the photo from the store and encodes it again:
an edit depends on its arguments alone, so that nobody sees a difference but the time.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import math
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from stylemap.bulk import cluster as bulk_cluster
from stylemap.optional import require
from stylemap.serving.application import create_app, make_store
from stylemap.serving.engine import Engine, Read, Result
from stylemap.serving.service import Busy, Gone
from stylemap.serving.settings import Settings
from stylemap.serving.work import About, Answer, Task

NAME = "stylemap"
_TRIES = 8  # replicas that may die under one request
_PAUSE = 0.1  # seconds
_HEALTH_SECONDS = 2.0  # between looks at a replica: how soon a dead one is replaced
_AHEAD = 2  # requests beside a batch that a replica reads or writes


def import_serve() -> Any:
    """The module ray.serve.

    Raises:
        ImportError: with what to install, where it is missing.
    """
    try:
        return require("ray.serve", "stylemap serve", name="Ray Serve")
    except ImportError as error:
        raise ImportError(f"{error}; or --replicas 0, to serve in this process without it") from error


def application(settings: Settings) -> Any:
    """The Serve application: bound deployments.

    Raises:
        ImportError: Ray Serve is missing.
        ValueError: no folder for the uploads, no replica.
    """
    serve = import_serve()
    if not settings.photos:
        raise ValueError("photos: name a folder for the uploads that every replica reaches")
    if settings.replicas == 0:
        raise ValueError("replicas: at least 1, or auto")
    have = importlib.import_module("ray").cluster_resources()
    gpus = settings.gpus
    if gpus is None:
        gpus = 1 if have.get("GPU", 0) >= 1 and settings.device != "cpu" else 0
    engine = serve.deployment(
        _replica(serve, settings),
        name="engine",
        **_count(settings, have, gpus),
        max_ongoing_requests=settings.batch_on("cuda" if gpus else "cpu") + _AHEAD,
        max_queued_requests=max(1, settings.queue),
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=10,
        ray_actor_options={
            "num_cpus": settings.cpus,
            "num_gpus": gpus,
            "runtime_env": {
                "env_vars": {"OMP_NUM_THREADS": str(settings.threads or math.ceil(settings.cpus))}
            },
        },
    )
    front = serve.deployment(
        serve.ingress(_Delegate())(_Front),
        name="front",
        num_replicas=settings.fronts,
        max_ongoing_requests=1000,
        health_check_period_s=_HEALTH_SECONDS,
        ray_actor_options={"num_cpus": 0},
    )
    arguments = settings.model_dump()
    return front.bind(arguments, engine.bind(arguments))


def serve(
    settings: Settings, host: str, port: int, address: str, say: Callable[[str, str, int], None]
) -> None:
    """Serve until SIGINT or SIGTERM, on a cluster or on one that is started for it.

    Args:
        say: is told the model's name, the host and the port when requests are answered.

    Raises:
        ImportError: Ray Serve is missing.
        ConnectionError: there is no cluster at the address.
    """
    serve = import_serve()
    ray = importlib.import_module("ray")
    own = not ray.is_initialized()
    if own:
        bulk_cluster.connect(ray, address)
    try:
        timeout = settings.deadline + 10
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": host, "port": port, "request_timeout_s": timeout},
        )
        serve.run(application(settings), name=NAME, route_prefix="/")
        handle = serve.get_deployment_handle("engine", NAME)
        say(handle.about.remote().result(timeout_s=60).name, host, port)
        _wait()
    finally:
        serve.shutdown()
        if own:
            ray.shutdown()


class Replicas:
    """The replicas as a service: the maps of a photo are where its requests go."""

    def __init__(self, engines: Any) -> None:
        from ray.exceptions import RayActorError
        from ray.serve import exceptions

        self._engines = engines
        self._dead = (RayActorError, exceptions.DeploymentUnavailableError)
        self._full = exceptions.BackPressureError

    async def answer(self, task: Task) -> Answer:
        """The answer of the replica that knows the photo; of another one where it dies."""
        engine = self._engines.options(multiplexed_model_id=task.work.photos[0].name)
        for attempt in range(_TRIES):
            response = engine.answer.remote(task)
            try:
                answer: Answer = await response
                return answer
            except asyncio.CancelledError:
                response.cancel()
                raise
            except self._full:
                raise Busy(1) from None
            except self._dead:
                await asyncio.sleep(_PAUSE * (attempt + 1))
        raise Gone("the replicas do not answer")

    async def about(self) -> About:
        """The model, from any replica."""
        try:
            about: About = await self._engines.about.remote()
            return about
        except self._dead:
            raise Gone("the replicas do not answer") from None

    async def close(self) -> None:
        """Serve ends the replicas."""


class _Front:
    """Speaks HTTP; it has no model."""

    def __init__(self, arguments: dict[str, Any], engines: Any) -> None:
        settings = Settings.of(arguments)
        self.asgi = create_app(settings, Replicas(engines), make_store(settings))


class _Delegate:
    """The ASGI application of the front that it is called in: Serve wants one before the front is made."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from ray import serve

        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        front: Any = serve.get_replica_context().servable_object
        await front.asgi(scope, receive, send)


class _Known:
    """Stands in Serve's list of what a replica has for a photo; the engine has the maps."""


def _replica(serve: Any, settings: Settings) -> type:
    """The class of the replicas: Serve's decorators want their numbers when it is made."""
    batch_wait = settings.batch_wait_ms / 1000

    class Replica:
        def __init__(self, arguments: dict[str, Any]) -> None:
            own = Settings.of(arguments)
            self._engine = Engine(own, make_store(own))
            self._pool: Executor = ThreadPoolExecutor(2, "stylemap-io")
            self._model: Executor = ThreadPoolExecutor(1, "stylemap-model")
            self._results.set_max_batch_size(own.batch_on(self._engine.kind))

        async def answer(self, task: Task) -> Answer:
            name = serve.get_multiplexed_model_id()
            if name:
                await self._known(name)
            read = await _in(self._pool, self._engine.read, task)
            result = await self._results(read)
            answer: Answer = await _in(self._pool, self._engine.written, result)
            return answer

        async def about(self) -> About:
            return self._engine.about

        @serve.multiplexed(max_num_models_per_replica=settings.known)
        async def _known(self, name: str) -> _Known:
            return _Known()

        @serve.batch(max_batch_size=1, batch_wait_timeout_s=batch_wait)
        async def _results(self, reads: list[Read]) -> Sequence[Result]:
            results: Sequence[Result] = await _in(self._model, self._engine.results, reads)
            return results

    return Replica


async def _in(pool: Executor, work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(work, *arguments))


def _count(settings: Settings, have: dict[str, float], gpus: float) -> dict[str, Any]:
    """How many replicas, in Serve's words."""
    if settings.replicas != "auto":
        return {"num_replicas": settings.replicas}
    most = have.get("GPU", 0) // gpus if gpus else have.get("CPU", 1) // settings.cpus
    target = settings.batch_on("cuda" if gpus else "cpu")
    return {
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": max(1, int(most)),
            "target_ongoing_requests": target + 1,
        }
    }


def _wait() -> None:
    """Until SIGTERM; SIGINT is a KeyboardInterrupt, as everywhere."""
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        ended.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
