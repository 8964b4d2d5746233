"""The network, walked: image → stylemap → stylecodes → γ, β → image, on any lowering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from torch import Tensor

from stylemap.program.lowering import Box, Features, Lowering, Mapping, Overlay, Overlaying, S, V
from stylemap.program.network import Mode, Network, Styled


@dataclass(frozen=True)
class Start(Generic[V, S]):
    """Features from an earlier run, to go on from.

    layer: the one that reads them: 0, or an odd one, before which nothing but these features is alive.
    """

    layer: int
    features: Features[V, S]


@dataclass(frozen=True)
class Window(Generic[S]):
    """From a layer on, only a part of the picture, with statistics from a run on all of it.

    first: the first layer on the part; an odd one. box: the part. statistics: of the features before the
    layers first + 1, first + 2, … and before `to_rgb`.
    """

    first: int
    box: Box
    statistics: Sequence[S]


#: Called with the number of a layer and the features before it.
Watch = Callable[[int, Features[V, S]], None]


def encode(op: Lowering[V, S], net: Network, images: V) -> V:
    """N×3×S×S in [-1, 1] → stylemap N×K×L×L."""
    x = op.conv(images, net.from_rgb)
    for block in net.blocks:
        skip = op.down_skip(x, block.skip)
        h = op.conv(x, block.conv1)
        op.free(x)
        x = op.down_conv(h, block.conv2, skip)
        op.free(h, skip)
    w = op.conv(x, net.final)
    op.free(x)
    return w


def mapping(op: Mapping[V], net: Network, z: V, class_vector: Tensor | None = None) -> V:
    """z N×K → stylemap N×K×L×L. class_vector: 1×K, of a class-conditional model, added to every z."""
    x = op.pixel_norm(z if class_vector is None else op.add_constant(z, class_vector, "class_vector"))
    for layer in net.mapping:
        x = op.linear(x, layer)
    return op.reshape(x, net.config.stylemap_shape)


def stylecodes(op: Lowering[V, S], net: Network, w: V) -> Iterator[V]:
    """Stylemap → two codes per resolution, each made when it is asked for."""
    code = w
    for layer in net.codes:
        code = op.conv(code, layer)
        yield code


def decode(op: Lowering[V, S], net: Network, w: V) -> V:
    """Stylemap → images N×3×S×S; every code is made when its layer comes, and dropped after it."""
    return synthesize(op, net, _one_by_one(op, stylecodes(op, net, w)))


def _one_by_one(op: Lowering[V, S], codes: Iterator[V]) -> Iterator[V]:
    """Each code is freed when the next, which is made from it, is there."""
    before = None
    for code in codes:
        op.free(before)
        before = code
        yield code


def synthesize(op: Lowering[V, S], net: Network, codes: Iterable[V]) -> V:
    """Stylecodes → images N×3×S×S."""
    rest = iter(codes)
    code = next(rest)
    x = op.constant(code)

    def styled(layer: Styled, x: Features[V, S], skip: V | None) -> Features[V, S]:
        return op.styled(x, code if layer.index == 0 else next(rest), layer, skip)

    x = _main_path(op, net.styled, x, styled)
    maps = op.maps(next(rest), net.to_rgb.maps)
    image = op.to_rgb(x, maps, net.to_rgb)
    op.free(x.x, maps)
    return image


def synthesize_from_maps(
    op: Lowering[V, S],
    net: Network,
    maps: Sequence[V],
    *,
    start: Start[V, S] | None = None,
    window: Window[S] | None = None,
    watch: Watch[V, S] | None = None,
) -> V:
    """γ and β of every stylecode → images N×3×S×S.

    Args:
        maps: of every stylecode, as `Lowering.maps` makes them.
        start: where to begin; maps of layers before it are not read.
        window: run the layers from its first on for a part of the picture alone: the result is that part.
        watch: sees the features before every layer that follows another, and before `to_rgb`.
    """
    first = 0 if start is None else start.layer
    x = op.constant(maps[0]) if start is None else start.features

    def styled(layer: Styled, x: Features[V, S], skip: V | None) -> Features[V, S]:
        if window is None or layer.index < window.first:
            return op.styled_from_maps(x, maps[layer.index], layer, skip, None)
        given = window.statistics[layer.index - window.first]
        part = op.crop(maps[layer.index], window.box)
        y = op.styled_from_maps(x, part, layer, skip, given)
        op.free(part)
        return y

    end = len(net.styled) if window is None else window.first
    x = _main_path(op, net.styled[first:end], x, styled, watch)
    last = maps[-1]
    if window is not None:
        whole, last = x, op.crop(last, window.box)
        x = Features(op.crop(whole.x, window.box), whole.statistics)
        op.free(whole.x)
        x = _main_path(op, net.styled[end:], x, styled, watch)
    image = op.to_rgb(x, last, net.to_rgb)
    op.free(x.x)
    return image


def _main_path(
    op: Lowering[V, S],
    layers: Sequence[Styled],
    x: Features[V, S],
    styled: Callable[[Styled, Features[V, S], V | None], Features[V, S]],
    watch: Watch[V, S] | None = None,
) -> Features[V, S]:
    """The features after these layers; ``styled`` runs one of them. Blocks are whole."""
    source = x.x
    for layer in layers:
        skip = None
        if layer.skip is not None:
            skip = op.up_skip(source, layer.skip)
            op.free(source)
        y = styled(layer, x, skip)
        op.free(skip)
        if layer.conv.mode is Mode.UP:
            source = x.x
        else:
            op.free(x.x)
        x = y
        if watch is not None:
            watch(layer.index + 1, x)
    return x


def maps(op: Lowering[V, S], net: Network, codes: Iterable[V]) -> Iterator[V]:
    """Stylecodes → γ and β of every one."""
    for code, layer in zip(codes, net.maps, strict=True):
        yield op.maps(code, layer)


def edit(
    op: Overlaying[V, S], net: Network, codes: Sequence[V], references: Sequence[V], overlay: Overlay[V]
) -> V:
    """The interactive blend: codes of N images, and of R references for each (N×R×C×r×r), → N×3×S×S."""
    return synthesize(op, net, _blended(op, net, codes, references, overlay))


def edit_cached(
    op: Overlaying[V, S],
    net: Network,
    originals: tuple[Sequence[V], Sequence[V]],
    references: tuple[Sequence[V], Sequence[V]],
    overlay: Overlay[V],
) -> V:
    """`edit` from codes and maps of both: maps are convolved only around the borders of masks."""
    (codes, known), (laid, laid_maps) = originals, references
    blended = _blended(op, net, codes, laid, overlay)
    made = [
        op.ring(code, known[index], laid_maps[index], overlay, layer)
        for index, (code, layer) in enumerate(zip(blended, net.maps, strict=True))
    ]
    return synthesize_from_maps(op, net, made)


def _blended(
    op: Overlaying[V, S], net: Network, codes: Sequence[V], references: Sequence[V], overlay: Overlay[V]
) -> Iterator[V]:
    for index, (code, laid) in enumerate(zip(codes, references, strict=True)):
        side = net.config.stylecode_shapes[index][1]
        yield op.blend(code, laid, overlay, side, f"blend/codes_{index}")
