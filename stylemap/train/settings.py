"""Fields of configurations with what documents them: a sentence, choices, limits and a unit, in one place.

Flags, checks and docstrings are made from it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import textwrap
from collections.abc import Iterator
from typing import Any, TypeVar

from stylemap.files import shown

T = TypeVar("T", bound=type)
MOST = 1_000_000_000  # of iterations and images: years of training
FARTHEST = 1e6  # of weights: no loss needs as much, and no sum of losses overflows


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    low: float = -math.inf,
    high: float | None = None,
    group: str = "",
) -> Any:
    """A dataclass field.

    help: what it means, a sentence. unit: of a number, in capitals, as flags show it. choices: of a text.
    low, high: limits of a number, both allowed; without ``high`` a whole number is at most `MOST`, another at
    most `FARTHEST`. group: heading that flags have above this field and those after it.
    """
    if high is None:
        high = FARTHEST if isinstance(default, float) else MOST
    metadata = {
        "help": help, "unit": unit, "choices": choices, "low": low, "high": high, "group": group
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def documented(cls: T) -> T:
    """Adds the sentences of the fields to the class's docstring."""
    lines = [
        textwrap.fill(
            f"{field.name}: {field.metadata['help']}",
            110,
            subsequent_indent="    ",
        )
        for field in settings(cls)
    ]
    cls.__doc__ = inspect.cleandoc(cls.__doc__ or "") + "\n" + "\n".join(lines) + "\n"
    return cls


def settings(cls: type) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a dataclass that `setting` made."""
    return (field for field in dataclasses.fields(cls) if "help" in field.metadata)


def check(values: object, prefix: str = "") -> None:
    """The fields of a dataclass object have values that their `setting` allows.

    Whole numbers, truth values and texts are recognised by the type of the default. Raises ValueError that
    names the field after ``prefix``, what is allowed, and the value.
    """
    for field in settings(type(values)):
        value, about, name = getattr(values, field.name), field.metadata, prefix + field.name
        if isinstance(field.default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, got {shown(value)}")
        elif isinstance(field.default, str):
            if not isinstance(value, str) or (about["choices"] and value not in about["choices"]):
                wanted = f"one of {', '.join(about['choices'])}" if about["choices"] else "a text"
                raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
        elif isinstance(field.default, int):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not about["low"] <= value <= about["high"]:
                allowed = f"{about['low']} to {about['high']}"
                raise ValueError(f"{name} must be a whole number from {allowed}, got {shown(value)}")
        else:
            _check_number(name, value, about["low"], about["high"])


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared before anything else: a whole number may be larger than any float.
    if not (number and -math.inf < value and low <= value <= high):  # type: ignore[operator]
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {shown(value)}")
