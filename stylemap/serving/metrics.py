"""What Prometheus reads of a front."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The counts of one front, in a registry of its own: several in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "stylemap_requests", "answered requests", ["endpoint", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "stylemap_request_seconds",
            "from the first byte of a request to its answer",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.at_work = Gauge(
            "stylemap_requests_at_work", "requests that are being answered", registry=self.registry
        )
        self.by_owner = Counter(
            "stylemap_owner_requests",
            "requests by the name of their token",
            ["owner"],
            registry=self.registry,
        )
        self.photos = Counter(
            "stylemap_photos",
            "photos of requests: known to the replica, or encoded for it",
            ["state"],
            registry=self.registry,
        )
        self.uploaded = Counter("stylemap_uploaded_bytes", "bytes of photos", registry=self.registry)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
