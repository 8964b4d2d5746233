"""What a session shows: an original, references with masks and shifts, sliders, mixing, a weight."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

MAX_STRENGTH = 2.0
MAX_SHIFT = 16384
CAMERA = "camera"
"""The original that is the newest picture of the session's own camera."""


class Strict(BaseModel):
    """What clients write: nothing else is in it, numbers are finite, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _counted(value: Any) -> Any:
    """JSON knows no integers: 1.0 is one, but a text and true are none."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")
    return value


Number = Annotated[float, Field(strict=True)]
Counted = BeforeValidator(_counted)
Seq = Annotated[int, Field(ge=0, lt=2**32), Counted]
MaskNumber = Annotated[int, Field(ge=0, lt=2**16), Counted]
Code = Annotated[int, Field(ge=0), Counted]
ImageId = Annotated[str, Field(min_length=1, max_length=64)]
Shift = Annotated[Number, Field(ge=-MAX_SHIFT, le=MAX_SHIFT)]


class Reference(Strict):
    """A part of an image: where mask number ``mask`` is on, moved by ``shift`` pixels (right, down).

    ``opacity``: 0 leaves what lies below, 1 covers it; the scene's weight multiplies it.
    """

    mask: MaskNumber
    image: ImageId
    shift: tuple[Shift, Shift] = (0.0, 0.0)
    on: StrictBool = True
    opacity: Annotated[Number, Field(ge=0, le=1)] = 1.0


class Slider(Strict):
    """Of one direction: its strength, everywhere or where mask number ``mask`` is on."""

    strength: Annotated[Number, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH)] = 0.0
    mask: MaskNumber | None = None


class Mix(Strict):
    """Stylecodes ``codes`` are taken from another image."""

    image: ImageId
    codes: Annotated[tuple[Code, ...], AfterValidator(lambda codes: tuple(sorted(set(codes))))] = ()


def _own_masks(references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    if len({reference.mask for reference in references}) != len(references):
        raise ValueError("each reference needs a mask of its own")
    return references


class Scene(Strict):
    """An edit without its masks, which are numbered and kept beside it.

    As JSON, where everything may be left out:
    {"original": "g0", "references": [{"mask": 1, "image": "g3", "shift": [0, 0], "on": true,
    "opacity": 1}], "weight": 1,
    "sliders": {"smile": {"strength": 0.5, "mask": null}}, "mix": {"image": "g2", "codes": [0, 1]}}

    How many references and codes there may be, and which sliders and images there are, depends on the server:
    see `studio.Studio.check`.
    """

    original: ImageId | None = None
    references: Annotated[tuple[Reference, ...], AfterValidator(_own_masks)] = ()
    weight: Annotated[Number, Field(ge=0, le=1)] = 1.0
    sliders: dict[str, Slider] = {}
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
