"""Random numbers that are functions of the seed and the iteration, so that a resumed run repeats them."""

from __future__ import annotations

import numpy as np
import torch


def generator(seed: int, stream: int, number: int) -> torch.Generator:
    """Independent random numbers for every (seed, stream, number), on the CPU."""
    state = np.random.SeedSequence([seed, stream, number]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
