"""Classes of a class-conditional model: by name, and the class a z has of itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_STEPS = 4096  # per unit of z


def own_classes(z: Tensor, count: int) -> Tensor:
    """int64 N: the class of each z N×K by its own digits, every class as likely as another.

    A z so keeps its class in whichever batch it comes. It is no function to differentiate by z: who
    optimises z names the classes.
    """
    digits = (z.detach().double() * _STEPS).round().long()
    return digits.sum(1).remainder(count)


def class_number(names: Sequence[str], name: str) -> int:
    """The place of a class among ``names``, by its name or its number. Raises ValueError for another."""
    if not names:
        raise ValueError(f"class {name!r}: the model is not class-conditional")
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    numbered = ", ".join(f"{number} {each}" for number, each in enumerate(names))
    raise ValueError(f"no class {name!r}: the model has {numbered}")
