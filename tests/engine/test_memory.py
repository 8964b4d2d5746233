"""Memory of the process that makes a plan: what it keeps, and what it takes on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stylemap.ops import _native
from tests.helpers import needs

pytestmark = [
    needs.when(_native.loaded(), "the native library is not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# A process of its own: memory that another test has left to the allocator would hide what this one takes.
_PLAN = """
import torch
from stylemap.benchmarks.machine import forget_peak, peak_resident, resident
from stylemap.config import Config
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.model import StyleMapGAN
torch.set_num_threads(1)
channels = {4: 256, 8: 256, 16: 256, 32: 128, 64: 32}
model = StyleMapGAN(Config(size=64, latent_spatial_size=4, channel_table=channels)).requires_grad_(False)
tiny = {4: 8, 8: 8}
first = StyleMapGAN(Config(size=8, latent_spatial_size=4, channel_table=tiny)).requires_grad_(False)
CpuPlan(first).ring(first)
before = resident()
forget_peak()
plan = CpuPlan(model)
plan.ring(model)
print(plan.bytes["weights"], (resident() - before) * 1024, (peak_resident() - before) * 1024)
"""


@pytest.fixture(scope="module")
def taken() -> list[int]:
    """Bytes of packed weights, of what the process keeps, and of what it took at most."""
    done = subprocess.run([sys.executable, "-c", _PLAN], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_plan_keeps_its_packed_weights_alone(taken: list[int]) -> None:
    """Folding in float64 takes several times a layer; none of it may stay."""
    packed, kept, _ = taken
    assert packed > 100 << 20
    assert kept < packed + (32 << 20)


def test_weights_are_folded_one_layer_at_a_time(taken: list[int]) -> None:
    """The largest layer has 256 inputs and 512 outputs: 9 MiB in float64, twice where it is reordered."""
    packed, _, most = taken
    assert most < packed + (64 << 20)
