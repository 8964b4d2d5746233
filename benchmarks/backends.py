"""What plays the scripts: our engine, and any network with encode, stylecodes and synthesize.

Every backend gets the same photos and steps, keeps what it can between steps, and ends with the bytes of
an image. What a host would keep of a photo for a rival are its stylecodes; blending them is shared code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

import stylemap
from stylemap import ops
from stylemap.benchmarks import models
from stylemap.benchmarks.strokes import Step
from stylemap.edit.masks import as_mask, pool_average, shift_in_cells
from stylemap.edit.mix import code_indices
from stylemap.engine.images import EditReference
from stylemap.engine.renderer import Renderer
from stylemap.model import StyleMapGAN

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CACHE_BYTES = 8 << 30  # of sessions: nothing is made again


class Photos:
    """The photos of a run as tensors and as files, and the masks of its steps; none of it is timed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tensors = models.photos(size)
        self.files = [models.jpeg(photo) for photo in self.tensors]
        self._masks: dict[Step, list[Tensor]] = {}

    def masks(self, step: Step) -> list[Tensor]:
        """S×S, one for each part of the step; made once."""
        if step not in self._masks:
            self._masks[step] = [part.mask(self.size) for part in step.parts]
        return self._masks[step]

    def one(self, number: int) -> Tensor:
        """1×3×S×S."""
        return self.tensors[number : number + 1]


class Backend(ABC):
    """One way to compute everything. ``label``: as tables name it."""

    ours = False
    #: of every photo of the run
    stylemaps: list[Tensor]

    def __init__(self, label: str, precision: str, photos: Photos) -> None:
        self.label, self.precision, self.photos = label, precision, photos

    def play(self, kind: str, steps: Sequence[Step]) -> Tensor:
        """What the steps (one, except in a batch) ask for: stylemaps or images, floating point.

        kind: open (a photo's file to all that is kept of it, its stylemap), encode, decode, edit, mix, batch,
        or request (encode the photos, then the frames: nothing is known before).
        """
        if kind == "batch":
            return self.batch(steps)
        result: Tensor = getattr(self, kind)(steps[0])
        return result

    def decode(self, step: Step) -> Tensor:
        """The image of a photo's stylemap, 1×3×S×S."""
        return self.decode_batch(self.stylemaps[step.original])

    @abstractmethod
    def decode_batch(self, stylemaps: Tensor) -> Tensor:
        """Images N×3×S×S of stylemaps N×K×L×L."""

    @abstractmethod
    def edit(self, step: Step) -> Tensor:
        """The step's frames, T×3×S×S, one per weight."""

    def batch(self, steps: Sequence[Step]) -> Tensor:
        """A frame for each step, N×3×S×S."""
        return torch.cat([self.edit(step) for step in steps])


class Engine(Backend):
    """`EditSession`."""

    ours = True

    def __init__(
        self,
        model: StyleMapGAN,
        precision: str,
        photos: Photos,
        device: torch.device | None = None,
        renderer: Renderer | None = None,
    ) -> None:
        super().__init__("stylemap", precision, photos)
        where = device or torch.device("cpu")
        self.session = stylemap.EditSession(
            model, where, precision, cache_bytes=CACHE_BYTES, renderer=renderer
        )
        self._renderer = self.session.renderer
        self.images = [self.session.add(photo.to(where)) for photo in photos.tensors]
        self.stylemaps = [self.session.stylemap(image) for image in self.images]

    def open(self, step: Step) -> Tensor:
        """Read the file, encode, make what edits need, and forget it again."""
        image = self.session.add(models.opened(self.photos.files[step.original], self.photos.size))
        self.session.remove(image)
        return self.stylemaps[step.original]

    def encode(self, step: Step) -> Tensor:
        """1×K×L×L."""
        return self._renderer.encode(self.photos.one(step.original))

    def decode_batch(self, stylemaps: Tensor) -> Tensor:
        """See `Backend.decode_batch`."""
        return self._renderer.decode(stylemaps)

    def references(self, step: Step, images: Sequence[stylemap.ImageHandle]) -> list[EditReference]:
        """The step's parts, of these images."""
        parts = zip(step.parts, self.photos.masks(step))
        size = self.photos.size
        return [self.session.reference(images[p.photo], mask, p.pixels(size)) for p, mask in parts]

    def edit(self, step: Step) -> Tensor:
        """See `Backend.edit`."""
        references = self.references(step, self.images)
        return self.session.frames(self.images[step.original], references, step.weights)

    def mix(self, step: Step) -> Tensor:
        """1×3×S×S."""
        return self.session.mix(self.images[step.original], self.images[step.parts[0].photo])[None]

    def request(self, step: Step) -> Tensor:
        """Encode the photos of the step, render its frames, forget the photos."""
        numbers = {step.original, *(part.photo for part in step.parts)}
        images = list(self.images)
        for number in numbers:
            images[number] = self.session.add(self.photos.tensors[number])
        try:
            return self.session.frames(images[step.original], self.references(step, images), step.weights)
        finally:
            for number in numbers:
                self.session.remove(images[number])


class Network(Protocol):
    """What `Codes` needs of a rival."""

    def encode(self, images: Tensor) -> Tensor:
        """Images N×3×S×S to stylemaps N×K×L×L."""

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """Stylemaps to stylecodes, each N×C×r×r."""

    def synthesize(self, codes: list[Tensor]) -> Tensor:
        """Stylecodes to images."""

    def decode(self, w: Tensor) -> Tensor:
        """Stylemaps to images."""


class Codes(Backend):
    """A network whose host keeps every photo's stylecodes and blends them with our operator.

    chunk: images decoded at once; 1 for what is compiled for single images.
    """

    def __init__(
        self,
        label: str,
        precision: str,
        photos: Photos,
        network: Network,
        *,
        chunk: int = 1,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(label, precision, photos)
        self._network, self._chunk = network, chunk
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._tensors = photos.tensors.to(self._like)
        self.stylemaps = [network.encode(photo[None]).clone() for photo in self._tensors]
        self._codes = [self._stylecodes(w) for w in self.stylemaps]

    def open(self, step: Step) -> Tensor:
        """Read the file, encode, make the stylecodes."""
        photo = models.opened(self.photos.files[step.original], self.photos.size).to(self._like)
        w = self._network.encode(photo)
        self._stylecodes(w)
        return w

    def encode(self, step: Step) -> Tensor:
        """1×K×L×L."""
        return self._network.encode(self._tensors[step.original : step.original + 1])

    def decode_batch(self, stylemaps: Tensor) -> Tensor:
        """See `Backend.decode_batch`."""
        return self._network.decode(stylemaps)

    def edit(self, step: Step) -> Tensor:
        """See `Backend.edit`."""
        return self._frames(self._codes, step)

    def mix(self, step: Step) -> Tensor:
        """1×3×S×S."""
        a, b = self._codes[step.original], self._codes[step.parts[0].photo]
        chosen = code_indices("coarse", len(a))
        return self._network.synthesize([b[i] if i in chosen else a[i] for i in range(len(a))])

    def request(self, step: Step) -> Tensor:
        """Encode the photos of the step, make their stylecodes, render its frames."""
        codes = list(self._codes)
        for number in {step.original, *(part.photo for part in step.parts)}:
            w = self._network.encode(self._tensors[number : number + 1])
            codes[number] = self._stylecodes(w)
        return self._frames(codes, step)

    def batch(self, steps: Sequence[Step]) -> Tensor:
        """See `Backend.batch`; ``chunk`` images at once."""
        mixed = [self.blend(self._codes, step, 1.0) for step in steps]
        return self._synthesize(mixed)

    def blend(self, codes: Sequence[Sequence[Tensor]], step: Step, weight: float) -> list[Tensor]:
        """The codes of one frame."""
        size = self.photos.size
        masks = [as_mask(mask, size, self._like.device) for mask in self.photos.masks(step)]
        mixed = []
        for index, code in enumerate(codes[step.original]):
            side = code.shape[-1]
            for part, mask in zip(step.parts, masks):
                shift = shift_in_cells(part.pixels(size), size // side)
                on = pool_average(mask, side)
                code = ops.blend(code, codes[part.photo][index], on, shift=shift, weight=weight)
            mixed.append(code)
        return mixed

    def _frames(self, codes: Sequence[Sequence[Tensor]], step: Step) -> Tensor:
        return self._synthesize([self.blend(codes, step, weight) for weight in step.weights])

    def _synthesize(self, mixed: Sequence[Sequence[Tensor]]) -> Tensor:
        found = []
        for start in range(0, len(mixed), self._chunk):
            part = mixed[start : start + self._chunk]
            found.append(self._network.synthesize([torch.cat(codes) for codes in zip(*part)]))
        return torch.cat(found)

    def _stylecodes(self, w: Tensor) -> list[Tensor]:
        return [code.clone() for code in self._network.stylecodes(w)]


def to_bytes(images: Tensor) -> Tensor:
    """N×3×S×S in [-1, 1] as RGB bytes N×S×S×3 in the host's memory: what a screen or an encoder takes."""
    values = ((images.detach().float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return values.permute(0, 2, 3, 1).contiguous().cpu()
