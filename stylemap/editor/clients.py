"""All sessions of a server, the least recently used leaving first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from stylemap.editor.client import Client
from stylemap.editor.limits import Limits


class Clients:
    """Sessions by id, in order of use. Used from the event loop only.

    ``closed`` is called for each that goes, whatever the reason.
    """

    def __init__(self, size: int, limits: Limits, closed: Callable[[Client], None]) -> None:
        self._size, self._limits, self._closed = size, limits, closed
        self._clients: dict[str, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients.values()))

    def create(self) -> Client:
        """A new session; the one that was used longest ago makes room."""
        while len(self._clients) >= self._limits.sessions:
            # Sessions nobody looks at go before open ones.
            order = sorted(self._clients.values(), key=lambda c: (c.connection is not None, c.used))
            self.remove(order[0], "this session made room for another one")
        client = Client(self._size, self._limits)
        self._clients[client.id] = client
        return client

    def get(self, id: str) -> Client | None:
        client = self._clients.get(id)
        if client is not None:
            client.used = time.monotonic()
        return client

    def remove(self, client: Client, reason: str) -> None:
        """Forget a session and all it holds; its connection is closed with the reason."""
        if self._clients.pop(client.id, None) is None:
            return
        if client.connection is not None:
            client.connection.close(reason)
        self._closed(client)

    def sweep(self) -> None:
        """Forget sessions without a connection that were not used for a while."""
        oldest = time.monotonic() - self._limits.idle_seconds
        for client in self:
            if client.connection is None and client.used < oldest:
                self.remove(client, "idle")
