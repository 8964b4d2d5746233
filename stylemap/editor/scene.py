"""What a session shows: an original, references with masks and shifts, sliders, mixing, a weight."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stylemap.editor.limits import Limits
from stylemap.editor.protocol import ProtocolError

MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class Reference:
    """A part of an image: where mask number ``mask`` is on, moved by ``shift`` pixels (right, down)."""

    mask: int
    image: str
    shift: tuple[float, float] = (0.0, 0.0)
    on: bool = True


@dataclass(frozen=True)
class Slider:
    """Of one direction: its strength in [-2, 2], everywhere or where mask number ``mask`` is on."""

    strength: float
    mask: int | None = None


@dataclass(frozen=True)
class Mix:
    """Stylecodes ``codes`` are taken from another image."""

    image: str
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Scene:
    """An edit without its masks, which are numbered and kept beside it.

    As JSON, where everything may be left out:
    {"original": "g0", "references": [{"mask": 1, "image": "g3", "shift": [0, 0], "on": true}], "weight": 1,
    "sliders": {"smile": {"strength": 0.5, "mask": null}}, "mix": {"image": "g2", "codes": [0, 1]}}
    """

    original: str | None = None
    references: tuple[Reference, ...] = ()
    weight: float = 1.0
    sliders: Mapping[str, Slider] = field(default_factory=dict)
    mix: Mix | None = None

    @property
    def masks(self) -> set[int]:
        """The numbers of all masks."""
        local = (slider.mask for slider in self.sliders.values() if slider.mask is not None)
        return {reference.mask for reference in self.references} | set(local)

    @property
    def images(self) -> set[str]:
        """The names of all images."""
        named = {reference.image for reference in self.references}
        return named | {name for name in (self.original, self.mix and self.mix.image) if name}

    def to_json(self) -> dict[str, Any]:
        """Inverse of ``parse``."""
        return {
            "original": self.original,
            "references": [
                {"mask": r.mask, "image": r.image, "shift": list(r.shift), "on": r.on}
                for r in self.references
            ],
            "weight": self.weight,
            "sliders": {name: {"strength": s.strength, "mask": s.mask} for name, s in self.sliders.items()},
            "mix": None if self.mix is None else {"image": self.mix.image, "codes": list(self.mix.codes)},
        }

    @classmethod
    def parse(cls, value: Any, directions: Collection[str], codes: int, limits: Limits) -> Scene:
        """Read the JSON form.

        Args:
            directions: the names a slider may have.
            codes: stylecodes of the model.

        Raises:
            ProtocolError: anything else.
        """
        entries = _entries(value, "a scene", {"original", "references", "weight", "sliders", "mix"})
        references = _list(entries.get("references", []), "references", limits.references)
        parsed = tuple(_reference(entry) for entry in references)
        if len({reference.mask for reference in parsed}) != len(parsed):
            raise ProtocolError("each reference needs a mask of its own")
        sliders = _entries(entries.get("sliders", {}), "sliders", directions)
        original = entries.get("original")
        return cls(
            None if original is None else _name(original),
            parsed,
            _number(entries.get("weight", 1.0), "weight", 0, 1),
            {name: _slider(entry) for name, entry in sliders.items()},
            None if entries.get("mix") is None else _mix(entries["mix"], codes),
        )


def _reference(value: Any) -> Reference:
    entries = _entries(value, "a reference", {"mask", "image", "shift", "on"})
    shift = _list(entries.get("shift", [0, 0]), "shift", 2)
    if len(shift) != 2:
        raise ProtocolError("shift is two numbers")
    on = entries.get("on", True)
    if type(on) is not bool:
        raise ProtocolError("on is true or false")
    dx, dy = (_number(part, "shift", -16384, 16384) for part in shift)
    return Reference(_mask(entries.get("mask")), _name(entries.get("image")), (dx, dy), on)


def _slider(value: Any) -> Slider:
    entries = _entries(value, "a slider", {"strength", "mask"})
    mask = entries.get("mask")
    strength = _number(entries.get("strength", 0.0), "strength", -MAX_STRENGTH, MAX_STRENGTH)
    return Slider(strength, None if mask is None else _mask(mask))


def _mix(value: Any, count: int) -> Mix:
    entries = _entries(value, "mix", {"image", "codes"})
    codes = _list(entries.get("codes", []), "codes", count)
    if not all(type(code) is int and 0 <= code < count for code in codes):
        raise ProtocolError(f"codes are numbers from 0 to {count - 1}")
    return Mix(_name(entries.get("image")), tuple(sorted(set(codes))))


def _entries(value: Any, what: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} must be an object")
    if any(key not in known for key in value):
        raise ProtocolError(f"{what} has an entry that is unknown here")
    return value


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ProtocolError(f"{what} must be a list of at most {most}")
    return value


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError(f"{what} must be a number")
    if not low <= value <= high:  # NaN is not, either
        raise ProtocolError(f"{what} must lie between {low} and {high}")
    return float(value)


def _mask(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**16:
        raise ProtocolError("a mask is a number below 65536")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise ProtocolError("an image is a name of at most 64 characters")
    return value
