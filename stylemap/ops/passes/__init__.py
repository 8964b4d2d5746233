"""The passes a GPU plan is made of: convolutions with everything around them that memory allows to fuse.

For inference: no gradients. Activations are channels_last; the CUDA kernels take float16 and bfloat16 (the
passes without a convolution also float32) and channels in multiples of 8, and refuse anything else. Where
there are no such kernels (on a CPU, or with ``backend("reference")``) the same functions compute in plain
PyTorch, which is their definition, unless one of the implementations is asked for by name.

Passes that make a feature map also return the statistics that the next norm wants of it, accumulated on the
way where that norm is "LayerNorm".
"""

from stylemap.ops.passes.common import Result, neutral
from stylemap.ops.passes.convolutions import (
    conv_act,
    conv_rows_,
    conv_rows_group_,
    modulate_conv,
    transposed_conv,
)
from stylemap.ops.passes.elementwise import apply_modulation, blur_act, modulated_rgb, skip_add

__all__ = [
    "Result",
    "apply_modulation",
    "blur_act",
    "conv_act",
    "conv_rows_",
    "conv_rows_group_",
    "modulate_conv",
    "modulated_rgb",
    "neutral",
    "skip_add",
    "transposed_conv",
]
