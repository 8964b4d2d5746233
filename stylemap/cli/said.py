"""What a command says: lines for people, or with --json one object for scripts."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylemap.cli import streams


@dataclass
class Voice:
    """How the command that is running speaks, and what it has noted for --json."""

    quiet: bool = False
    json: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def shows_progress(self) -> bool:
        """Whether progress goes to stderr."""
        return not (self.quiet or self.json)


_voice = Voice()


def begin(*, quiet: bool = False, json: bool = False, command: str = "") -> None:
    """Forget what the last command of this process said."""
    global _voice
    _voice = Voice(quiet, json, {"command": command})


def voice() -> Voice:
    """How the command that is running speaks."""
    return _voice


def say(line: str) -> None:
    """A line on stdout, unless --quiet or --json is given."""
    if not (_voice.quiet or _voice.json):
        print(line)


def note(**facts: Any) -> None:
    """Facts for --json, by name; a name that was there is replaced."""
    _voice.facts |= facts


def add(name: str, fact: Any) -> None:
    """One more fact in the list of that name, for --json."""
    if _voice.json:
        _voice.facts.setdefault(name, []).append(fact)


def warn(line: str) -> None:
    """Say on stderr what the user may not have meant."""
    add("warnings", line)
    streams.tell(f"stylemap: warning: {line}")


def finish() -> None:
    """With --json write the object of what was noted, one line."""
    if _voice.json:
        print(json.dumps(_plain(_voice.facts), ensure_ascii=False, allow_nan=False))


def fail(reason: str) -> None:
    """With --json write an object with the command and why it failed."""
    if _voice.json:
        with contextlib.suppress(OSError):
            print(json.dumps({"command": _voice.facts.get("command", ""), "error": reason}), flush=True)


def _plain(value: Any) -> Any:
    """What JSON has: paths as texts, numbers that are not finite as null."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
