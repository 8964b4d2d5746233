"""Who may ask, and how much: tokens, their rates, and how many requests of one are at work.

A file of tokens has one a line, with nothing else than ``#`` comments:

    NAME TOKEN [requests a second]

The name stands in the metrics, and photos are kept by it: one user cannot use what another uploaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from stylemap.editor.limits import Bucket
from stylemap.files import read_text
from stylemap.serving.settings import Settings

PUBLIC = "public"
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Owner:
    """Who has a token. rate: requests a second."""

    name: str
    rate: float


def read_tokens(path: Path, rate: float) -> dict[bytes, Owner]:
    """The owners in a file, by the SHA-256 of their tokens; ``rate`` of those that have none of their own.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line that is none, a name or token that comes twice, no token at all.
    """
    found: dict[bytes, Owner] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            name, token, *rest = words
            (own,) = map(float, rest or [str(rate)])
        except ValueError:
            raise ValueError(f"{path}, line {number}: expected NAME TOKEN [requests a second]") from None
        if not _NAME.fullmatch(name) or not (0 < own < math.inf):
            raise ValueError(
                f"{path}, line {number}: a name has letters, digits, - and _, a rate is positive"
            )
        digest = _digest(token)
        if digest in found or name in {owner.name for owner in found.values()}:
            raise ValueError(f"{path}, line {number}: the name or the token is there already")
        found[digest] = Owner(name, own)
    if not found:
        raise ValueError(f"{path} holds no token")
    return found


class Access:
    """Lets requests in.

    Args:
        tokens: as `read_tokens` returns them; None lets everybody in, as one owner.
    """

    def __init__(self, settings: Settings, tokens: Mapping[bytes, Owner] | None) -> None:
        self._settings, self._tokens = settings, tokens
        self._buckets: dict[str, Bucket] = {}
        self._jobs: Counter[str] = Counter()

    def owner(self, headers: Headers) -> Owner:
        """Who asks. Raises HTTPException 401 where the token is missing or unknown."""
        if self._tokens is None:
            return Owner(PUBLIC, self._settings.token_rate)
        kind, _, token = headers.get("authorization", "").partition(" ")
        # By its digest: how long the search takes says nothing about the tokens.
        owner = self._tokens.get(_digest(token.strip())) if kind.lower() == "bearer" else None
        if owner is None:
            how = {"www-authenticate": "Bearer"}
            raise HTTPException(401, "the request needs a known token: Authorization: Bearer TOKEN", how)
        return owner

    @contextlib.contextmanager
    def admitted(self, owner: Owner) -> Iterator[None]:
        """A request of an owner is at work. Raises HTTPException 429 where there are too many."""
        settings = self._settings
        if owner.name not in self._buckets:
            burst = max(1.0, settings.token_burst * owner.rate / settings.token_rate)
            self._buckets[owner.name] = Bucket(owner.rate, burst)
        if self._jobs[owner.name] >= settings.token_jobs:
            text = f"at most {settings.token_jobs} requests of one token at the same time"
            raise HTTPException(429, text, {"retry-after": "1"})
        if not self._buckets[owner.name].take():
            text = f"at most {owner.rate:g} requests a second of this token"
            raise HTTPException(429, text, {"retry-after": str(max(1, math.ceil(1 / owner.rate)))})
        self._jobs[owner.name] += 1
        try:
            yield
        finally:
            self._jobs[owner.name] -= 1


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
