"""The service on Ray Serve: fronts that speak HTTP, and replicas with a model each.

    HTTP → front → replica that has the photo's maps, or the one with the fewest photos

Of ``stylemap serve`` the front is that process itself; of a Serve config file it is a deployment behind
Serve's proxy, of which there may be several.

A request carries its photo as Serve's multiplexed model id, by which `routing` sends it where its maps are.
Where a replica dies the front asks another one, which reads the photo from the store and encodes it again:
an edit depends on its arguments alone, so that nobody sees a difference but the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stylemap.bulk import cluster as bulk_cluster
from stylemap.optional import require
from stylemap.serving.application import create_app, make_store
from stylemap.serving.engine import Engine
from stylemap.serving.service import Admission, Busy, Gone, Local
from stylemap.serving.settings import Settings
from stylemap.serving.work import About, Answer, Task

NAME = "stylemap"
_TRIES = 8  # replicas that may die under one request
_PAUSE = 0.1  # seconds
_HEALTH_SECONDS = 2.0  # between looks at a replica: how soon a dead one is replaced
_AHEAD = 2  # requests beside a batch that a replica reads or writes
_NO_LIMIT = 1 << 30


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
    """The Serve application with fronts: bound deployments.

    Raises:
        ImportError: Ray Serve is missing.
        ValueError: no folder for the uploads, no replica.
    """
    serve = import_serve()
    front = serve.deployment(
        serve.ingress(_Delegate())(_Front),
        name="front",
        num_replicas=settings.fronts,
        max_ongoing_requests=1000,
        health_check_period_s=_HEALTH_SECONDS,
        ray_actor_options={"num_cpus": 0},
    )
    return front.bind(settings.model_dump(), _engine(serve, settings))


@dataclass(frozen=True)
class _Room:
    """What the replicas have of the cluster: GPUs of each, how many there may be, requests that one takes at
    once."""

    gpus: float
    replicas: int
    batch: int

    @classmethod
    def of(cls, settings: Settings) -> _Room:
        have = importlib.import_module("ray").cluster_resources()
        gpus = settings.gpus
        if gpus is None:
            gpus = 1 if have.get("GPU", 0) >= 1 and settings.device != "cpu" else 0
        fit = have.get("GPU", 0) // gpus if gpus else have.get("CPU", 1) // settings.cpus
        replicas = max(1, int(fit)) if settings.replicas == "auto" else settings.replicas
        return cls(gpus, replicas, settings.batch_on("cuda" if gpus else "cpu"))

    def most(self, settings: Settings) -> int:
        """Requests that a front lets in: those that wait, and what the replicas work at."""
        return settings.queue + self.replicas * (self.batch + _AHEAD)


def _engine(serve: Any, settings: Settings) -> Any:
    """The bound deployment of the replicas."""
    if not settings.photos:
        raise ValueError("photos: name a folder for the uploads that every replica reaches")
    if settings.replicas == 0:
        raise ValueError("replicas: at least 1, or auto")
    config = importlib.import_module("ray.serve.config")
    room = _Room.of(settings)
    count: dict[str, Any] = {"num_replicas": room.replicas}
    if settings.replicas == "auto":
        target = room.batch + 1
        scaling = {"min_replicas": 1, "max_replicas": room.replicas, "target_ongoing_requests": target}
        count = {"autoscaling_config": scaling}
    threads = settings.threads or math.ceil(settings.cpus)
    engine = serve.deployment(
        _Replica,
        name="engine",
        **count,
        # What waits, waits in the replicas: Serve asks full ones again after pauses, in which they run dry.
        max_ongoing_requests=room.batch + _AHEAD + settings.queue,
        max_queued_requests=-1,  # `Replicas` counts
        request_router_config=config.RequestRouterConfig(
            request_router_class="stylemap.serving.routing.ByPhoto"
        ),
        logging_config={"enable_access_log": False},
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=10,
        ray_actor_options={
            "num_cpus": settings.cpus,
            "num_gpus": room.gpus,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(threads)}},
        },
    )
    return engine.bind(settings.model_dump())


@contextlib.contextmanager
def replicas(settings: Settings, address: str) -> Iterator[Replicas]:
    """The replicas of a model, on a cluster or on one that is started for them, until the end of the block.

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
        serve.start(proxy_location="Disabled")
        # No route: what speaks HTTP is this process, and a request takes no way through two others.
        handle = serve.run(_engine(serve, settings), name=NAME, route_prefix=None)
        yield Replicas(handle, _Room.of(settings).most(settings))
    finally:
        serve.shutdown()
        if own:
            ray.shutdown()


class Replicas:
    """The replicas as a service: the maps of a photo are where its requests go.

    Args:
        most: requests that wait or are at work, beyond which others are refused.
    """

    def __init__(self, engines: Any, most: int) -> None:
        from ray.exceptions import RayActorError
        from ray.serve import exceptions

        self._engines, self._admission = engines, Admission(most)
        self._dead = (RayActorError, exceptions.DeploymentUnavailableError)

    async def answer(self, task: Task) -> Answer:
        """The answer of the replica that knows the photo; of another one where it dies."""
        with self._admission.admitted(task.until):
            answer = await self._asked(task)
            self._admission.answered()
            return answer

    async def _asked(self, task: Task) -> Answer:
        photos = task.work.photos
        engine = self._engines.options(multiplexed_model_id=photos[0].name) if photos else self._engines
        for attempt in range(_TRIES):
            response = engine.answer.remote(task)
            try:
                answer: Answer = await response
                if answer.status == 429:
                    raise self._admission.busy()
                return answer
            except asyncio.CancelledError:
                response.cancel()
                raise
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
        self.asgi = create_app(
            settings, Replicas(engines, _Room.of(settings).most(settings)), make_store(settings)
        )


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


class _Replica:
    """A model in a process of its own."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        settings = Settings.of(arguments)
        engine = Engine(settings, make_store(settings))
        # Serve counts what it sends.
        self._service = Local(engine, _NO_LIMIT, settings.batch_on(engine.kind))

    async def answer(self, task: Task) -> Answer:
        """As `Local.answer`; where that raises Busy, an answer of status 429."""
        try:
            return await self._service.answer(task)
        except Busy as error:
            return Answer(429, error=str(error))

    async def about(self) -> About:
        """The model."""
        return await self._service.about()
