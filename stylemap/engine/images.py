"""What a session keeps of images, within a limit of memory, and what edits of them are made of."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import PIL.Image
from torch import Tensor

from stylemap.config import Config
from stylemap.edit.masks import as_mask
from stylemap.images import to_image
from stylemap.inputs import MaskLike
from stylemap.program.ring import CellMask, cell_masks
from stylemap.sheets import overlay

_log = logging.getLogger(__name__)

# Entries made again among the last ones asked for, from which on the cache is said to be too small.
_REMADE, _ASKED = 4, 16
_MAX_SHIFT = 1e9  # far out of any frame


@dataclass(frozen=True, repr=False)
class ImageHandle:
    """An image that a session has encoded. Numbers are never used twice, not by other sessions either."""

    number: int
    render: Callable[[ImageHandle], Tensor] | None = field(default=None, compare=False)

    def image(self) -> PIL.Image.Image:
        """The image as the model decodes it, S×S, RGB.

        Raises:
            ValueError: it was removed from its session, or the session is gone.
        """
        if self.render is None:
            raise ValueError(f"image {self.number} is in no session")
        return to_image(self.render(self))

    def __repr__(self) -> str:
        return f"ImageHandle({self.number})"

    def _repr_png_(self) -> bytes | None:
        """For notebooks; None once it is removed."""
        try:
            return png(self.image())
        except ValueError:
            return None


@dataclass(frozen=True, eq=False, repr=False)
class EditReference:
    """A part of an image that an edit puts into another: from `EditSession.reference`.

    ``mask``: 1×1×S×S, float32 in [0, 1], over the reference's own pixels (before its shift);
    ``shift``: (dx, dy) in pixels, right and down; ``cells``: the same for every resolution; ``weight``: how
    much of it replaces what lies below, which the weight of the edit multiplies.
    """

    image: ImageHandle
    mask: Tensor
    shift: tuple[float, float]
    cells: dict[int, CellMask]
    weight: float = 1.0

    def picture(self) -> PIL.Image.Image:
        """Its image as the model decodes it, with the mask drawn over it; errors as `ImageHandle.image`."""
        return overlay(self.image.image(), [self.mask])

    def __repr__(self) -> str:
        side, share = self.mask.shape[-1], float((self.mask > 0.5).float().mean())
        moved = f", shift ({self.shift[0]:g}, {self.shift[1]:g})" if any(self.shift) else ""
        faded = "" if self.weight == 1 else f", weight {self.weight:g}"
        covers = f"mask over {share:.0%} of {side}×{side}"
        return f"EditReference(image {self.image.number}, {covers}{moved}{faded})"

    def _repr_png_(self) -> bytes | None:
        """For notebooks; None once its image is removed."""
        try:
            return png(self.picture())
        except ValueError:
            return None


def png(picture: PIL.Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def edit_reference(
    image: ImageHandle,
    mask: MaskLike,
    shift: tuple[float, float],
    config: Config,
    weight: float = 1.0,
) -> EditReference:
    """A reference from a mask as `edit.masks.as_mask` takes it; its contents are copied.

    Raises:
        ValueError: a mask of another size, with NaN, or more than one; a shift or weight that is not finite.
    """
    mask = mask.detach() if isinstance(mask, Tensor) else mask
    mask = as_mask(mask, config.size, "cpu")  # a copy: it clamps
    if mask.shape[0] != 1:
        shape = "×".join(map(str, mask.shape))
        raise ValueError(f"mask: a reference has one, {config.size}×{config.size}; got {shape}")
    if bool(mask.isnan().any()):
        raise ValueError("mask: expected coverage from 0 to 1, got NaN")
    if len(shift) != 2 or not all(-_MAX_SHIFT <= one <= _MAX_SHIFT for one in shift):
        raise ValueError(f"shift: expected two numbers of pixels (dx, dy), got {shift}")
    if not math.isfinite(weight):
        raise ValueError(f"weight: expected a finite number, got {weight}")
    return EditReference(image, mask, shift, cell_masks(mask, shift, config.resolutions), float(weight))


@dataclass(frozen=True, eq=False)
class Image:
    """An image of a session: its number and its stylemap 1×K×L×L, which is always kept."""

    number: int
    w: Tensor


@dataclass(frozen=True, eq=False)
class Edit:
    """References laid over an image, the last one on top. ``images``: those of the references, in order."""

    original: Image
    references: Sequence[EditReference]
    images: Sequence[Image]

    @property
    def sources(self) -> list[Image]:
        """All its images, the original first."""
        return [self.original, *self.images]


class Kept(Protocol):
    """What an `ImageCache` keeps of one image; it may grow while it is held."""

    @property
    def code_bytes(self) -> int:
        """Memory of the stylecodes."""

    @property
    def map_bytes(self) -> int:
        """Memory of the maps."""


K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, eq=False)
class Entry:
    """All stylecodes, each (r·r)×C, and all maps, each 1×r×r×M, in the precision of the cache."""

    codes: list[Tensor]
    maps: list[Tensor]

    @property
    def code_bytes(self) -> int:
        """Memory of the stylecodes."""
        return sum(each.nbytes for each in self.codes)

    @property
    def map_bytes(self) -> int:
        """Memory of the maps."""
        return sum(each.nbytes for each in self.maps)


class ImageCache(Generic[K]):
    """Least recently used entries go first, and are made again from the stylemap when they are needed.

    Not for several threads at once: the session has a lock. ``build`` makes an entry, which has ``new_bytes``
    bytes then; ``gone`` gets what is no longer kept. ``limit`` is in bytes.
    """

    def __init__(
        self,
        build: Callable[[Image], K],
        new_bytes: int,
        limit: int,
        *,
        gone: Callable[[K], None] = lambda entry: None,
    ) -> None:
        self._build = build
        self._gone = gone
        self._entries: OrderedDict[int, K] = OrderedDict()
        self._held: frozenset[int] = frozenset()
        self.new_bytes = new_bytes
        self.limit = limit
        self.hits = self.misses = self.evictions = 0
        self._warned = False
        self._evicted: set[int] = set()  # images whose entries went for lack of room
        self._remade: deque[bool] = deque(maxlen=_ASKED)  # whether the last ones asked for were among those

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries.values())

    @property
    def code_bytes(self) -> int:
        """Of the stylecodes that are kept."""
        return sum(entry.code_bytes for entry in self)

    @property
    def map_bytes(self) -> int:
        """Of the maps that are kept."""
        return sum(entry.map_bytes for entry in self)

    @property
    def bytes(self) -> int:
        """Of the entries that are kept."""
        return self.code_bytes + self.map_bytes

    def prefetch(self, image: Image) -> None:
        """Make the entry of an image now, if there is room for any."""
        if self.new_bytes <= self.limit:
            with self.hold([image]):
                pass

    @contextlib.contextmanager
    def hold(self, images: Sequence[Image]) -> Iterator[list[K]]:
        """The entries of these images, none of which goes before the end of the block; not within another.

        They may exceed the limit together; afterwards the cache is within it again, and the first image's
        entry, which has most in it as a rule, is the last to go.
        """
        self._held = frozenset(image.number for image in images)
        try:
            yield [self._get(image) for image in images]
        finally:
            if images and images[0].number in self._entries:
                self._entries.move_to_end(images[0].number)
            self._warn()
            self._held = frozenset()
            self.reserve(0)

    def reserve(self, count: int) -> None:
        """Make room for as many bytes more, as far as that is possible without entries that are held."""
        excess = self.bytes + count - self.limit
        for number in [number for number in self._entries if number not in self._held]:
            if excess <= 0:
                break
            entry = self._entries.pop(number)
            excess -= entry.code_bytes + entry.map_bytes
            self._evicted.add(number)
            self.evictions += 1
            self._gone(entry)

    def drop(self, number: int) -> None:
        """Forget the entry of an image, if there is one."""
        self._evicted.discard(number)
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._gone(entry)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._evicted.clear()

    def _get(self, image: Image) -> K:
        entry = self._entries.get(image.number)
        self._note(entry is None and image.number in self._evicted)
        if entry is None:
            self.misses += 1
            self.reserve(self.new_bytes)
            entry = self._entries[image.number] = self._build(image)
        else:
            self.hits += 1
        self._entries.move_to_end(image.number)
        return entry

    def _warn(self) -> None:
        """Where the entries that are held have no room together."""
        held = [entry for number, entry in self._entries.items() if number in self._held]
        count = sum(entry.code_bytes + entry.map_bytes for entry in held)
        if count > self.limit:
            self._say(
                f"an edit needs {len(held)} images of {count >> 20} MB together, but the cache is limited to "
                f"{self.limit >> 20} MB: some are made again for every edit"
            )

    def _note(self, remade: bool) -> None:
        """Whether the image asked for has been here and is made again."""
        self._remade.append(remade)
        if sum(self._remade) >= _REMADE:
            self._say(
                f"images are made again and again: {len(self)} of them take {self.bytes >> 20} MB, "
                f"and the cache is limited to {self.limit >> 20} MB (cache_bytes)"
            )

    def _say(self, line: str) -> None:
        """The first of these lines; the second would say the same."""
        if not self._warned:
            self._warned = True
            _log.warning(line)
