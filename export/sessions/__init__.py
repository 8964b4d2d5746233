"""One exported graph, opened in one of the runtimes: `open_session`."""

from stylemap.export.sessions.base import PROVIDERS, Session
from stylemap.export.sessions.opening import open_session

__all__ = ["PROVIDERS", "Session", "open_session"]
