"""Limits of numbers that mean the same in every command; what lies outside is refused before work begins.

Settings of training have their own (`stylemap.train.settings`), and so have some commands: counts whose least
value is a matter of the command, and numbers that depend on the model.
"""

from __future__ import annotations

import argparse

MOST = 1_000_000  # of images, frames or steps: their names and numbers are kept in memory
MOST_THREADS = 1024
_MOST_PROCESSES = 4096
_FAR = 1000  # from 0: nothing that a model was trained for is as far from its mean

#: By the name of an argument: the least and the largest value, both allowed.
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "samples": (2, MOST),
    "fit": (2, MOST),
    "batch": (0, MOST),  # of serve 0 is its own choice
    "truncation": (-_FAR, _FAR),
    "weight": (-_FAR, _FAR),
    "strength": (-_FAR, _FAR),
    "learning_rate": (0, _FAR),
    **dict.fromkeys(("l1_weight", "pixel_weight", "perceptual_weight"), (0, 1e9)),
    "opset": (1, 1000),
    "held_out": (0, 1),
    "cost": (0, 1e9),
    "max_batch": (1, 4096),
    "best_batch": (1, 4096),
    "max_references": (1, 64),
    **dict.fromkeys(("ray_workers", "ray_cpus"), (1, _MOST_PROCESSES)),
    "ray_failures": (0, MOST),
    **dict.fromkeys(("token_rate", "token_jobs"), (0, MOST)),
    "photos_mib": (1, 1 << 30),
    "threads": (0, MOST_THREADS),
    "seconds": (0, 1e6),
    "threshold": (0, _FAR),
}


_OF_TRAINING = ("ray_workers", "ray_cpus", "ray_failures")


def check(args: argparse.Namespace) -> None:
    """Raise ValueError, which names the flag, for a number that is outside of `LIMITS`."""
    for name, (low, high) in LIMITS.items():
        if args.command == "train" and name not in _OF_TRAINING:
            continue
        given = getattr(args, name, None)
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, int | float) and not low <= value <= high:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be from {_text(low)} to {_text(high)}, got {_text(value)}")


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
