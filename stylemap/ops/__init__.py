"""The operators of the network: native kernels with a plain-PyTorch definition each."""

from stylemap.ops import reference
from stylemap.ops._backend import backend, current_backend, set_backend
from stylemap.ops._statistics import moments
from stylemap.ops.bias_act import bias_act
from stylemap.ops.blend import blend
from stylemap.ops.modulate import modulate
from stylemap.ops.modulated_conv2d import modulated_conv2d
from stylemap.ops.upfirdn2d import upfirdn2d

__all__ = [
    "backend",
    "bias_act",
    "blend",
    "current_backend",
    "modulate",
    "modulated_conv2d",
    "moments",
    "reference",
    "set_backend",
    "upfirdn2d",
]


def __dir__() -> list[str]:
    return __all__
