"""An exported model with the methods of `StyleMapGAN`: every edit runs on it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.edit.blend import blend
from stylemap.edit.checks import (
    MasksLike,
    ReferencesLike,
    ShiftsLike,
    broadcast_batch,
    check_pair,
    in_chunks,
    per_sample,
    references_with_masks,
)
from stylemap.edit.masks import as_mask
from stylemap.export import ports
from stylemap.export.sessions import Session, open_session
from stylemap.export.sessions.base import ENGINE_SUFFIX, ONNX_SUFFIX, default_provider
from stylemap.inputs import ImagesLike, MaskLike
from stylemap.model import Sampling
from stylemap.model.checks import as_images, check_codes, check_stylemap, check_tensor


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a path names an exported model: an .onnx or .engine file, or a folder that holds some."""
    path = Path(path)
    return bool(_suffixes(path)) if path.is_dir() else path.suffix in (ONNX_SUFFIX, ENGINE_SUFFIX)


@dataclass(frozen=True)
class Prepared:
    """An image as `Runtime.edit_prepared` takes it: its stylecodes, and the γ and β they make."""

    codes: list[Tensor]
    maps: list[Tensor]


class Runtime(Sampling):
    """The graphs that `stylemap export` wrote into a folder, as one model.

    Tensors are float32 on ``device``, whatever precision the files have; shapes are those of
    `StyleMapGAN`, and what is wrong raises the same errors. There are no gradients. A graph is opened
    when it is first used; where decoder or editor are missing, stylecodes and synthesis do.

    Args:
        path: the folder, or one of its files.
        provider: one of `sessions.PROVIDERS`, or "auto": TensorRT where there are engines and a GPU,
            else ONNX Runtime, on the GPU where it can.
        threads: on the CPU; None leaves it to the runtime.

    Raises:
        FileNotFoundError: there is no such file, or nothing exported in the folder.
        ValueError, RuntimeError, ImportError: see `sessions.open_session`.
    """

    def __init__(
        self, path: str | os.PathLike[str], provider: str = "auto", *, threads: int | None = None
    ) -> None:
        path = Path(path)
        self.folder = path if path.is_dir() else path.parent
        suffixes = [path.suffix] if not path.is_dir() else _suffixes(self.folder)
        self.provider = default_provider(suffixes) if provider == "auto" else provider
        self.suffix = ENGINE_SUFFIX if self.provider == "tensorrt" else ONNX_SUFFIX
        self.threads = threads
        self._sessions: dict[str, Session] = {}
        first = self._first() if path.is_dir() else path
        session = open_session(first, self.provider, threads)
        self.description = session.description
        self.device = session.device
        self._sessions[self.description.graph] = session
        self.like = torch.zeros((), device=self.device)

    @property
    def config(self) -> Config:
        """Of the exported model."""
        return self.description.config

    def _about(self) -> dict[str, str]:
        found = super()._about()
        return {
            **found,
            "runs in": f"{self.provider} on {self.device}",
            "exported as": self.description.precision,
        }

    def encode(self, images: ImagesLike) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1], or of pictures (`stylemap.inputs.ImagesLike`)."""
        images = as_images(images, self.config, self.like)
        return self._run("encoder", {"images": images})["w"]

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""
        check_stylemap(w, self.config, self.like)
        codes = self._run("stylecodes", {"w": w})
        return [codes[port.name] for port in ports.outputs("stylecodes", self.config)]

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes."""
        check_codes(codes, self.config, self.like)
        return self._run("synthesis", _named(codes))["images"]

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps."""
        check_stylemap(w, self.config, self.like)
        if not self.has("decoder") and self.has("synthesis"):
            return self.synthesize(self.stylecodes(w))
        return self._run("decoder", {"w": w})["images"]

    def map(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, drawn from N(0, 1)."""
        check_tensor("z", z, (self.config.latent_channel_size,), self.like)
        return self._run("mapping", {"z": z})["w"]

    def __call__(self, images: ImagesLike) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        images = as_images(images, self.config, self.like)
        if not self.has("reconstruct"):
            return self.decode(self.encode(images))
        return self._run("reconstruct", {"images": images})["reconstruction"]

    def edit(
        self,
        original_w: Tensor,
        reference_ws: ReferencesLike,
        masks: MasksLike,
        shifts: ShiftsLike | None = None,
        weights: float | Sequence[float] | Tensor = 1.0,
        *,
        chunk: int = 4,
    ) -> Tensor:
        """The interactive blend: `stylemap.edit.blend` with these arguments, in the editor graph."""
        reference_ws, masks, shifts = references_with_masks(reference_ws, masks, shifts)
        count = len(reference_ws)
        if not self.has("editor") or count == 0 or count > (self._open("editor").max_references or count):
            return blend(self, original_w, reference_ws, masks, shifts, weights, chunk=chunk)
        for index, reference in enumerate(reference_ws):
            check_pair(original_w, reference, "original_w", f"reference_ws[{index}]")
        original = Prepared(self.stylecodes(original_w), [])
        references = [Prepared(self.stylecodes(reference), []) for reference in reference_ws]
        return self._edit("editor", original, references, masks, shifts, weights, chunk)

    def prepare(self, w: Tensor) -> Prepared:
        """Images by their stylemaps N×K×L×L, as `edit_prepared` takes them, once for any number of edits."""
        codes = self.stylecodes(w)
        maps = self._run("maps", _named(codes))
        return Prepared(codes, [maps[port.name] for port in ports.outputs("maps", self.config)])

    def edit_prepared(
        self,
        original: Prepared,
        references: Sequence[Prepared],
        masks: Sequence[Tensor],
        shifts: Sequence[tuple[float, float]] | None = None,
        weights: float | Sequence[float] | Tensor = 1.0,
        *,
        chunk: int = 4,
    ) -> Tensor:
        """`edit` of prepared images, in the cached_editor graph; takes at least one reference.

        Raises:
            ValueError: no reference, or more than an engine was built for; and as `edit`.
            FileNotFoundError: the graph was not exported.
        """
        limit = self._open("cached_editor").max_references or len(references)
        if not 1 <= len(references) <= limit:
            raise ValueError(
                f"cached_editor takes 1 to {limit or 'any number of'} references, got {len(references)}"
            )
        return self._edit("cached_editor", original, references, masks, shifts, weights, chunk)

    def _edit(
        self,
        graph: str,
        original: Prepared,
        references: Sequence[Prepared],
        masks: Sequence[MaskLike],
        shifts: Sequence[tuple[float, float]] | None,
        weights: float | Sequence[float] | Tensor,
        chunk: int,
    ) -> Tensor:
        """One of the graphs that edit, on parts of the batch; maps may be missing where it takes none."""
        count = len(references)
        shifts = [(0, 0)] * count if shifts is None else shifts
        if not count == len(masks) == len(shifts):
            raise ValueError(
                f"each reference needs a mask and a shift: got {count} references, "
                f"{len(masks)} masks and {len(shifts)} shifts"
            )
        weight = per_sample(weights, self.like)
        total = broadcast_batch(len(weight), len(original.codes[0]), "weights")
        planes = [as_mask(mask, self.config.size, self.device) for mask in masks]
        for reference, plane in zip(references, planes):
            count = len(reference.codes[0])
            total = broadcast_batch(broadcast_batch(total, count, "images"), len(plane), "images")
        moves = torch.tensor([[int(dx), int(dy)] for dx, dy in shifts], device=self.device)
        stems = ("codes", "maps") if graph == "cached_editor" else ("codes",)

        def render(part: slice) -> Tensor:
            inputs: dict[str, Tensor] = {}
            for stem in stems:
                laid = zip(*(getattr(reference, stem) for reference in references))
                stacked = [torch.stack([_of(one, part) for one in each], 1) for each in laid]
                inputs |= _named(stacked, f"reference_{stem}")
                inputs |= _named([_of(one, part) for one in getattr(original, stem)], stem)
            inputs["masks"] = torch.cat([_of(plane, part) for plane in planes], 1)
            inputs["shifts"] = moves.expand(part.stop - part.start, -1, -1)
            inputs["weights"] = _of(weight, part)
            return self._run(graph, inputs)["images"]

        return in_chunks(total, chunk, render)

    def has(self, graph: str) -> bool:
        """Whether there is a file of this graph."""
        return graph in self._sessions or self._path(graph).is_file()

    def _path(self, graph: str) -> Path:
        return self.folder / f"{graph}{self.suffix}"

    def _first(self) -> Path:
        for graph in ports.ALL:
            if self._path(graph).is_file():
                return self._path(graph)
        raise FileNotFoundError(f"{self.folder} holds no graph as {graph}{self.suffix}: see stylemap export")

    def _open(self, graph: str) -> Session:
        if graph not in self._sessions:
            path = self._path(graph)
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing: export the {graph} graph of this model into {self.folder}"
                )
            session = open_session(path, self.provider, self.threads)
            found = session.description
            if (found.graph, found.model) != (graph, self.description.model):
                raise ValueError(
                    f"{path} holds the {found.graph} of model {found.model}, "
                    f"not the {graph} of model {self.description.model}: export both together"
                )
            self._sessions[graph] = session
        return self._sessions[graph]

    def _run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if torch.is_grad_enabled() and any(value.requires_grad for value in inputs.values()):
            raise RuntimeError("an exported model has no gradients: this takes a checkpoint")
        session = self._open(graph)
        count = len(next(iter(inputs.values())))
        if count == 0:
            raise ValueError(f"{graph}: expected a batch of at least 1, got 0")
        limit = session.max_batch or count
        if count <= limit:
            return session.run(inputs)
        parts = [
            session.run({name: value[start : start + limit] for name, value in inputs.items()})
            for start in range(0, count, limit)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _suffixes(folder: Path) -> list[str]:
    return [suffix for suffix in (ENGINE_SUFFIX, ONNX_SUFFIX) if any(folder.glob(f"*{suffix}"))]


def _named(codes: Sequence[Tensor], stem: str = "codes") -> dict[str, Tensor]:
    return {f"{stem}_{index}": code for index, code in enumerate(codes)}


def _of(x: Tensor, part: slice) -> Tensor:
    """The samples of ``part``; one sample stands for all."""
    return x.expand(part.stop - part.start, *x.shape[1:]) if x.shape[0] == 1 else x[part]
