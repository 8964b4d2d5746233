"""Three kernels at the sizes of the network, to profile: ``python -m stylemap.benchmarks.gpu.profiled``."""

from __future__ import annotations

#: Kernels that it starts: a modulation, a convolution and a blur, after one of each that warms up.
LAUNCHES = 6


def main() -> None:
    """Run each pass twice: γ and β 256 → 512 at 128², 128 → 128 at 256², the blur at 256²."""
    import torch

    from stylemap.ops import passes

    def maps(channels: int, side: int) -> torch.Tensor:
        made = torch.randn(1, channels, side, side, device="cuda", dtype=torch.float16)
        return made.contiguous(memory_format=torch.channels_last)

    def weight(channels: int) -> torch.Tensor:
        made: torch.Tensor = torch.randn(channels, channels, 3, 3, device="cuda") / (9 * channels) ** 0.5
        return made.half().contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        x, bias = maps(256, 128), torch.zeros(256, device="cuda", dtype=torch.float16)
        y, narrow = maps(128, 256), bias[:128].clone()
        neutral = passes.neutral(x, "LayerNorm")
        operands = (x, x.clone(), weight(256), bias, weight(256), bias, *neutral)
        last, filter = weight(128), passes.common.skip_filter(y.device) / 4
        for _ in range(2):
            passes.modulate_conv(*operands, implementation="tensor_cores_128")
            passes.conv_act(y, last, narrow, implementation="tensor_cores_128")
            passes.blur_act(y, filter, narrow, padding=(2, 1, 2, 1))
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
