"""What a model is in one line and as a table: for `repr` and for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from torch import nn


def facts(model: Any) -> dict[str, str]:
    """The facts of a `Model` by name, as texts."""
    config, like = model.config, model.like
    k, side, _ = config.stylemap_shape
    found = {
        "images": f"{config.size}×{config.size}",
        "stylemap": f"{k}×{side}×{side}",
        "generator": "small" if config.small_generator else "full",
    }
    classes = getattr(model, "class_names", ())
    if classes:
        found["classes"] = ", ".join(classes)
    if isinstance(model, nn.Module):
        found["parameters"] = f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million"
    found["runs in"] = f"{str(like.dtype).removeprefix('torch.')} on {like.device}"
    return found


def line(name: str, about: Mapping[str, str]) -> str:
    """NAME(key value, …)."""
    return f"{name}({', '.join(f'{key} {value}' for key, value in about.items())})"


def table(name: str, about: Mapping[str, str]) -> str:
    """The same as an HTML table."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for key, value in about.items()
    )
    return f"<table><caption>{html.escape(name)}</caption>{rows}</table>"
