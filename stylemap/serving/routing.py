"""Which replica a photo's requests go to: Serve asks the class here. Imported where there is a Ray Serve."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ray.serve.request_router import (
    FIFOMixin,
    MultiplexMixin,
    PendingRequest,
    RequestRouter,
    RunningReplica,
)


class ByPhoto(FIFOMixin, MultiplexMixin, RequestRouter):
    """Consistent hashing with bounded loads (Mirrokni et al., arXiv 1608.01350), by rendezvous.

    A photo has an order of the replicas, on which all fronts agree without telling each other. It takes the
    first that is no busier than all are on average. A replica that comes, or comes back, has its share of
    the photos at once, where Serve's multiplexing leaves all of them with the survivors of the last failure.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replicas, one by one, in the order of a request's photo; all at once where it has none."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # between rounds: they may all be full
        photo = pending_request.metadata.multiplexed_model_id
        if not photo:
            return [candidate_replicas]
        cache = self.replica_queue_len_cache
        named = {each.replica_id.unique_id: each for each in candidate_replicas}
        at_work = {name: cache.get(each.replica_id) or 0 for name, each in named.items()}
        return [[named[name]] for name in order(photo, at_work)]


def order(photo: str, at_work: Mapping[str, int]) -> list[str]:
    """Replicas in the order that a photo's request asks them in. at_work: requests that each has."""
    most = -(-(sum(at_work.values()) + 1) // max(1, len(at_work)))
    places = {name: hashlib.blake2b(f"{photo} {name}".encode(), digest_size=8).digest() for name in at_work}
    return sorted(at_work, key=lambda name: (at_work[name] >= most, places[name]))
