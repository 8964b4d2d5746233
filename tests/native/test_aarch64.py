"""The CPU kernels on aarch64: all compile without a warning; NEON is exact on an emulated processor."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import _build
from stylemap.engine.cpu.blocking import DOWN, PLAIN, UP
from stylemap.engine.cpu.convolution import padded, padded_bias
from stylemap.ops import reference
from tests.helpers import needs
from tests.helpers.convolution_case import BLUR, nhwc, relative_error
from tests.native.emulator import POINTWISE, TO_RGB, Emulated, EmulatedCase, available, compile_all, link

pytestmark = needs.when(available(), "no aarch64 compiler or emulator: tests/install_aarch64.sh")

#: Instruction set, and a processor that has just it: a Raspberry Pi 4, and one with bfloat16.
PROCESSORS = (("neon", "cortex-a72"), ("neon_bf16", "max"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aarch64")
    kernels = sorted((_build.source_root() / "kernels").rglob("*_cpu.cpp"))
    replay = Path(__file__).parent / "replay.cpp"
    convolutions = [path for path in kernels if path.parent.name == "conv2d"]
    compile_all([path for path in kernels if path not in convolutions], folder)
    return link(compile_all([*convolutions, replay], folder), folder / "replay")


@pytest.fixture(params=PROCESSORS, ids=lambda pair: pair[0])
def processor(request: pytest.FixtureRequest, program: Path) -> Emulated:
    isa, cpu = request.param
    return Emulated(program, isa, cpu)


def test_the_best_set_is_chosen_and_a_missing_one_refused(program: Path) -> None:
    Emulated(program, "auto", "cortex-a72").run(TO_RGB, *to_rgb_call(16)[0])
    with pytest.raises(AssertionError, match="no such instruction set"):
        Emulated(program, "neon_bf16", "cortex-a72").run(TO_RGB, *to_rgb_call(16)[0])
    # Bfloat16's own instructions sum in another order: "auto" is that set where there is one.
    results = {}
    for isa in ("auto", "neon", "neon_bf16"):
        processor = Emulated(program, isa)
        results[isa] = EmulatedCase(bf16=True, inputs=64, processor=processor).run()
    assert torch.equal(results["auto"], results["neon_bf16"])
    assert not torch.equal(results["auto"], results["neon"])


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
def test_convolutions(processor: Emulated, mode: int, bf16: bool) -> None:
    size = {"height": 14, "width": 10, "inputs": 19, "outputs": 37}
    for tile in (2,) if mode != PLAIN else (2, 4) if bf16 else (2, 4, 6):
        common = {"batch": 2, "tile": tile, "bf16": bf16, "processor": processor, **size}
        EmulatedCase(mode=mode, **common).check()
        EmulatedCase(mode=mode, **common).check(taps=True)
        if bf16:
            EmulatedCase(mode=mode, **common).check(taps=True, half=True)
        if mode == PLAIN:
            EmulatedCase(features=True, **common).check()
            EmulatedCase(skip="up", **common).check()
            EmulatedCase(skip="same", **common).check(shared=True)
        if mode != DOWN:
            EmulatedCase(mode=mode, modulation=True, **common).check()


@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
def test_small_and_wide(processor: Emulated, mode: int) -> None:
    for size in ((2, 2), (6, 10), (34, 4)):
        case = EmulatedCase(
            height=size[0], width=size[1], mode=mode, inputs=5, outputs=33, processor=processor
        )
        case.check(tiles=3)
    EmulatedCase(height=8, width=8, mode=mode, inputs=64, outputs=96, processor=processor).check()


@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
def test_statistics(processor: Emulated, mode: int) -> None:
    case = EmulatedCase(batch=2, height=22, width=18, mode=mode, outputs=40, processor=processor)
    partials = case.partials()
    out = case.run(partials=partials).double()
    channels = out.shape[1]
    counts = partials[..., -1:].double()
    means, squares = partials[..., :channels].double(), partials[..., channels : 2 * channels].double()
    mean = (means * counts).sum(1) / counts.sum(1)
    variance = (squares + counts * (means - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    torch.testing.assert_close(mean, out.mean((2, 3)), rtol=1e-6, atol=5e-7)
    torch.testing.assert_close(variance, out.var((2, 3), correction=0), rtol=1e-6, atol=0)


def test_listed_tiles(processor: Emulated) -> None:
    case = EmulatedCase(height=24, width=24, tile=4, modulation=True, processor=processor)
    chosen = torch.tensor([0, 7, 35], dtype=torch.int32)
    out, whole = case.run(tile_list=chosen), case.run()
    computed = torch.zeros(36, dtype=torch.bool)
    computed[chosen.long()] = True
    inside = computed.view(6, 6).repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(out[:, :, inside], whole[:, :, inside])
    assert out[:, :, ~inside].isnan().all()


@pytest.mark.parametrize(("isa", "instruction"), [("neon", "fmla"), ("neon_bf16", "bfdot")])
def test_the_main_loop_stays_in_registers(program: Path, isa: str, instruction: str) -> None:
    """8 rows x 2 vectors x 4 depths: 64 multiply-adds by lane, 8 loads of inputs, 4 of pairs of weights."""
    loop = main_loop(program.parent / f"conv2d_kernels_{isa}_cpu.o", instruction)
    assert sum(line.startswith(instruction) for line in loop) == 64
    assert sum(line.startswith("ld") for line in loop) <= 16
    assert not [line for line in loop if line.startswith("st") or "sp" in line]
    assert len(loop) <= 64 + 16 + 8


def random(*shape: int) -> Tensor:
    """Values that float32 holds exactly, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).double()


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("blur", [False, True])
def test_pointwise(processor: Emulated, blur: bool, bf16: bool) -> None:
    for inputs, outputs in ((3, 32), (16, 40), (37, 5)):
        x, bias = random(2, inputs, 10, 18), random(outputs)
        weight = random(outputs, inputs) / math.sqrt(inputs)
        low = reference.upfirdn2d(x, BLUR, down=2, padding=(1, 1, 1, 1)) if blur else x
        expected = F.leaky_relu(F.conv2d(low, weight[:, :, None, None], bias), 0.2)
        whole = padded(weight[:, :, None, None])[:, :, 0, 0].contiguous()
        out = torch.full_like(nhwc(expected), math.nan)
        sizes = (2, *out.shape[1:3], inputs, outputs, *whole.shape, int(blur), int(bf16))
        operands = (torch.tensor([0.2]), whole, nhwc(x), padded_bias(bias), out)
        result = processor.floats(POINTWISE, *sizes, *operands).view_as(out).permute(0, 3, 1, 2)
        assert relative_error(result, expected) < (4e-3 if bf16 else 3e-7)


def main_loop(library: Path, instruction: str) -> list[str]:
    """The instructions of the loop with the most multiply-adds, as the disassembler writes them."""
    codes: list[str] = []
    starts: dict[str, int] = {}
    inner = -1  # where the last loop began: one that begins before it contains it
    text = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(library)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: list[list[str]] = []
    for line in text.splitlines():
        address, _, code = line.strip().partition(":\t")
        if not code:  # a function begins
            codes, starts, inner = [], {}, -1
            continue
        starts[address] = len(codes)
        codes.append(code)
        target = code.split()[1] if code.startswith("b.") else ""
        if starts.get(target, -1) > inner:
            inner = starts[target]
            found.append(codes[starts[target] :])
    return max(found, key=lambda loop: sum(line.startswith(instruction) and "[" in line for line in loop))


def to_rgb_call(channels: int) -> tuple[list[int | Tensor], Tensor]:
    """The operands of one to_rgb, and its float64 result."""
    x, gamma, beta = random(2, channels, 9, 5), random(2, channels, 9, 5), random(2, 3, 9, 5)
    mean, rstd, weight = random(2, channels), random(2, channels).abs().float().double(), random(3, channels)
    normalised = (x - mean[:, :, None, None]) * rstd[:, :, None, None]
    expected = F.leaky_relu(F.conv2d(normalised * gamma, weight[:, :, None, None]) + beta, 0.2)
    moments = (mean.float(), rstd.float(), weight.float(), torch.full((2, 3, 9, 5), math.nan))
    maps = nhwc(torch.cat([gamma, beta], 1))
    return [2, 45, channels, torch.tensor([0.2]), nhwc(x), maps, *moments], expected


@pytest.mark.parametrize("channels", [1, 16, 21, 128])
def test_to_rgb(processor: Emulated, channels: int) -> None:
    call, expected = to_rgb_call(channels)
    image = processor.floats(TO_RGB, *call).view_as(expected)
    assert relative_error(image, expected) < 5e-7
