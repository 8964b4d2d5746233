"""The network for inference, written once: CPU kernels, GPU passes, ONNX and plain tensors lower it.

`nn.Module`s define the network for training. Here it is a walk over a few coarse verbs:

    net = program.network(config)          # every layer: names and shapes, no weights    (network.py)
    weights = program.Weights(model)       # folded float64 weights of any layer          (fold.py)
    op = SomeLowering(weights)             # the verbs on values of its own               (lowering.py)

    w     = program.encode(op, net, images)                        # the walks            (traversal.py)
    codes = list(program.stylecodes(op, net, w))
    image = program.synthesize(op, net, codes)
    image = program.decode(op, net, w)                             # the last two, one code alive at a time
    maps  = list(program.maps(op, net, codes))                     # γ and β of every stylecode
    image = program.synthesize_from_maps(op, net, maps)
    image = program.synthesize_from_maps(op, net, maps, start=Start(layer, features))     # reuse a prefix
    part  = program.synthesize_from_maps(op, net, maps, window=Window(first, box, statistics))

    w     = program.mapping(op, net, z)                            # lowerings of `Mapping`
    image = program.edit(op, net, codes, references, overlay)      # lowerings of `Overlaying`: a whole
    image = program.edit_cached(op, net, (codes, maps), (reference_codes, reference_maps), overlay)   # edit

To write a lowering
-------------------
1. Choose what a value V is (a tensor, the name of an ONNX tensor) and what statistics S of features are
   (mean and 1/√(var + eps) as tensors, a norm still to be computed). Between layers of the decoder the two
   travel together as `Features(x, statistics)`.
2. Make the weights: ``for layer in net.convolutions(): weight, bias = weights.conv(layer)``. Nothing is kept
   by `Weights`, so a backend packs or moves one layer at a time; ``layer.name`` is the key to keep it by.
   ``weights.constant()`` is what the decoder starts from, ``weights.linear(layer)`` for the mapping network.
   Everything constant is inside: scales of equalised learning rates, the √2 of activations, the 1/√2 of
   residual sums, running statistics of BatchNorm2d, the composition of the last β with the 1×1 convolution
   to RGB. What is left to compute is what the docstrings of `Conv`, `Styled` and `ToRgb` say.
3. Write one method for each verb of `Lowering`; what each computes is its docstring, and `PlainLowering` is
   that in plain PyTorch. ``layer.norm`` is None for BatchNorm2d: its norm is in γ and β, and statistics have
   to be neutral (mean 0, 1/deviation 1), as they are for the constant, which is normalised already.
   ``skip`` of a styled layer comes at half the side of the result: upsample it on the way.
   `free` is for memory that is managed by hand; elsewhere it does nothing.
   A backend that never runs a window may raise NotImplementedError in `crop`.
4. Compare it with `PlainLowering` in float64: tests/program/networks.py has a model of every configuration.

A lowering is cheap to make: where results go, statistics that are given, or what is recorded may be
arguments of the lowering of one run. Caches, sessions and memory are the engine's, not the network's.

The ring around masks
---------------------
`ring.cell_masks` reduces a mask to the cells of every resolution; `ring.layout` says which cells of a
stylecode's maps are copied, which tiles of them (or single cells) are convolved, and which codes that reads.
`ring.coefficients` is how much of every image a cell contains. All on the host, in NumPy.
"""

from stylemap.program.fold import Folded, Memory, Scaled, Weights, foreign_filter, new_memory
from stylemap.program.lowering import Box, Features, Lowering, Mapping, Overlay, Overlaying
from stylemap.program.network import (
    EPS,
    SLOPE,
    Block,
    Conv,
    Linear,
    Mode,
    Network,
    Part,
    Styled,
    ToRgb,
    network,
)
from stylemap.program.plain import PlainLowering
from stylemap.program.traversal import (
    Start,
    Watch,
    Window,
    decode,
    edit,
    edit_cached,
    encode,
    mapping,
    maps,
    stylecodes,
    synthesize,
    synthesize_from_maps,
)

__all__ = [
    "EPS",
    "SLOPE",
    "Block",
    "Box",
    "Conv",
    "Features",
    "Folded",
    "Linear",
    "Lowering",
    "Mapping",
    "Memory",
    "Mode",
    "Network",
    "Overlay",
    "Overlaying",
    "Part",
    "PlainLowering",
    "Scaled",
    "Start",
    "Styled",
    "ToRgb",
    "Watch",
    "Weights",
    "Window",
    "decode",
    "edit",
    "edit_cached",
    "encode",
    "foreign_filter",
    "mapping",
    "maps",
    "network",
    "new_memory",
    "stylecodes",
    "synthesize",
    "synthesize_from_maps",
]
