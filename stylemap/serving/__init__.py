"""Edits for many users over HTTP: on Ray Serve with any number of replicas, or in one process.

    request → `api` (token, limits, body) → `service` (deadline, queue) → `engine` (photos, edits)

`app` is what ``serve run stylemap.serving:app`` and Serve's config files name. Photos are known by the
SHA-256 of their bytes: a replica keeps the maps of those that it worked on, requests go where the maps are,
and any other replica makes them again from the uploaded bytes.
"""

from __future__ import annotations

from typing import Any


def app(arguments: dict[str, Any]) -> Any:
    """The application for Ray Serve.

    Args:
        arguments: fields of `stylemap.serving.settings.Settings`, as the ``args`` of a Serve config file.

    Raises:
        ImportError: Ray Serve is missing.
        ValueError: an argument that is unknown or out of range.
    """
    from stylemap.serving import cluster
    from stylemap.serving.settings import Settings

    return cluster.application(Settings.of(arguments))


__all__ = ["app"]


def __dir__() -> list[str]:
    return __all__
