"""The demo model that ships with the package, the directions that go with it, and recipes of training."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def demo_model() -> Path | None:
    """The checkpoint of the demo model, where this copy of the package has one."""
    return _existing("demo.safetensors")


def demo_directions() -> Path | None:
    """Its directions, for `stylemap.edit.load_directions`."""
    return _existing("demo_directions.safetensors")


def demo_metrics() -> Path | None:
    """What `stylemap evaluate` measured of it, JSON."""
    return _existing("demo_metrics.json")


RECIPES = ("published", "seed", "demo")


def recipe(name: str) -> Path:
    """The configuration file of one of `RECIPES`, for `stylemap train`. Raises ValueError for another."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}: there are {', '.join(RECIPES)}")
    return FOLDER / f"{name}.yaml"


def _existing(name: str) -> Path | None:
    path = FOLDER / name
    return path if path.is_file() else None


__all__ = [
    "FOLDER",
    "RECIPES",
    "demo_directions",
    "demo_metrics",
    "demo_model",
    "recipe",
]


def __dir__() -> list[str]:
    return __all__
