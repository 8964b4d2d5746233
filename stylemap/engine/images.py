"""What a session keeps of images, within a limit of memory, and what edits of them are made of."""

from __future__ import annotations

import contextlib
import io
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

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
    ``shift``: (dx, dy) in pixels, right and down; ``cells``: the same for every resolution.
    """

    image: ImageHandle
    mask: Tensor
    shift: tuple[float, float]
    cells: dict[int, CellMask]

    def picture(self) -> PIL.Image.Image:
        """Its image as the model decodes it, with the mask drawn over it; errors as `ImageHandle.image`."""
        return overlay(self.image.image(), [self.mask])

    def __repr__(self) -> str:
        side, share = self.mask.shape[-1], float((self.mask > 0.5).float().mean())
        moved = f", shift ({self.shift[0]:g}, {self.shift[1]:g})" if any(self.shift) else ""
        return f"EditReference(image {self.image.number}, mask over {share:.0%} of {side}×{side}{moved})"

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
    image: ImageHandle, mask: MaskLike, shift: tuple[float, float], config: Config
) -> EditReference:
    """A reference from a mask as `edit.masks.as_mask` takes it; its contents are copied.

    Raises:
        ValueError: a mask of another size, with NaN, or more than one; a shift that is not finite.
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
    return EditReference(image, mask, shift, cell_masks(mask, shift, config.resolutions))


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


@dataclass(frozen=True, eq=False)
class Entry:
    """Stylecodes, each (r·r)×C, and maps, each 1×r×r×M, in the precision of the cache."""

    codes: list[Tensor]
    maps: list[Tensor]


class ImageCache:
    """Least recently used entries go first, and are made again from the stylemap when they are needed.

    Not for several threads at once: the session has a lock. ``build`` makes an entry of ``entry_bytes``
    bytes; with ``reuse`` it may get an entry that is no longer needed, to overwrite. ``limit`` is in bytes.
    """

    def __init__(
        self,
        build: Callable[[Image, Entry | None], Entry],
        entry_bytes: int,
        limit: int,
        *,
        reuse: bool = False,
    ) -> None:
        self._build = build
        self._reuse = reuse
        self._spare: Entry | None = None
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self.entry_bytes = entry_bytes
        self.limit = limit
        self.hits = self.misses = self.evictions = 0
        self._warned = False
        self._gone: set[int] = set()  # images whose entries went for lack of room
        self._remade: deque[bool] = deque(maxlen=_ASKED)  # whether the last ones asked for were among those

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Of the entries that are kept."""
        return len(self) * self.entry_bytes

    @property
    def spare_bytes(self) -> int:
        """Of the entry that went last, whose memory the next one takes: new memory costs as much time as
        filling it does. Together with ``bytes`` never more than the limit.
        """
        return 0 if self._spare is None else self.entry_bytes

    def prefetch(self, image: Image) -> None:
        """Make the entry of an image now, if there is room for any."""
        if self.entry_bytes <= self.limit:
            with self.hold([image]):
                pass

    @contextlib.contextmanager
    def hold(self, images: Sequence[Image]) -> Iterator[list[Entry]]:
        """The entries of these images, none of which goes before the end of the block.

        They may exceed the limit together; afterwards the cache is within it again.
        """
        held = {image.number for image in images}
        self._warn(len(held))
        try:
            yield [self._get(image, held) for image in images]
        finally:
            self._shrink(self.limit, frozenset())

    def drop(self, number: int) -> None:
        """Forget the entry of an image, if there is one."""
        self._gone.discard(number)
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._keep_spare(entry)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._gone.clear()
        self._spare = None

    def _get(self, image: Image, held: set[int]) -> Entry:
        entry = self._entries.get(image.number)
        self._note(entry is None and image.number in self._gone)
        if entry is None:
            self.misses += 1
            self._shrink(self.limit - self.entry_bytes, held)
            spare, self._spare = self._spare, None
            entry = self._entries[image.number] = self._build(image, spare)
        else:
            self.hits += 1
        self._entries.move_to_end(image.number)
        return entry

    def _shrink(self, limit: int, held: set[int] | frozenset[int]) -> None:
        for number in [number for number in self._entries if number not in held]:
            if self.bytes <= limit:
                break
            self._keep_spare(self._entries.pop(number))
            self._gone.add(number)
            self.evictions += 1
        if self.bytes + self.spare_bytes > self.limit:
            self._spare = None

    def _keep_spare(self, entry: Entry) -> None:
        if self._reuse and self.bytes + self.entry_bytes <= self.limit:
            self._spare = entry

    def _warn(self, images: int) -> None:
        if images * self.entry_bytes > self.limit:
            self._say(
                f"an edit needs {images} images of {self.entry_bytes >> 20} MB, but the cache is limited to "
                f"{self.limit >> 20} MB: some are made again for every edit"
            )

    def _note(self, remade: bool) -> None:
        """Whether the image asked for has been here and is made again."""
        self._remade.append(remade)
        if sum(self._remade) >= _REMADE:
            self._say(
                f"images are made again and again: they take {self.entry_bytes >> 20} MB each, "
                f"and the cache is limited to {self.limit >> 20} MB (cache_bytes)"
            )

    def _say(self, line: str) -> None:
        """The first of these lines; the second would say the same."""
        if not self._warned:
            self._warned = True
            _log.warning(line)
