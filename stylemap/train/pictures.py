"""The pictures of a run: grids of samples and reconstructions, and a dashboard of all there is to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylemap import images as files
from stylemap.files import write_whole
from stylemap.metrics.realism import laplacian_energy
from stylemap.model import Encoder, Generator
from stylemap.sheets import Row, Tile, contact_sheet, curve, overlay
from stylemap.train import record
from stylemap.train.batches import to_float
from stylemap.train.config import TrainConfig
from stylemap.train.edits import next_image, random_masks
from stylemap.train.networks import Mapping, Networks, Synthesis
from stylemap.train.sources import Source

_ACROSS = 8
_CLASS_ROWS = 16
_LATENTS = 512
_DIFFERENT = 1 / 64  # mean difference of pictures in [-1, 1] that can be seen
_FRAMES, _FRAME_WIDTH, _FRAME_TIME = 60, 900, 200
_TILE = 112
_SHARPNESS = ("again", "samples", "edits")
_CURVES = ("x_rec", "perceptual", "efficientnet", "adv", "d", "indomain_e", "indomain_d", "r1", "w_rec")


class Pictures:
    """Draws the same photos, z and masks again and again, so that a run can be watched.

    Writes into ``folder``: samples/ and reconstructions/ (grids), dashboard/ (one picture each time),
    metrics.jsonl, and run.gif when it ends.
    """

    def __init__(self, networks: Networks, source: Source, config: TrainConfig, folder: Path) -> None:
        self.networks, self.config, self.folder = networks, config, folder
        device = next(networks.encoder.parameters()).device
        count = min(_ACROSS, len(source))
        self.real = to_float(source.batch(range(count))[0]).to(device)
        random = torch.Generator().manual_seed(0)
        self.z = torch.randn(_LATENTS, config.model.latent_channel_size, generator=random).to(device)
        self.masks = random_masks(count, config.model.size, random).to(device)
        self.names = source.names

    @torch.no_grad()
    def draw(self, finished: int, status: str, board: Any = None) -> None:
        """Grids, dashboard and metrics after ``finished`` iterations. board: TensorBoard's writer, or None.

        The averaged networks' pictures; those of the networks being trained follow while the two differ.
        """
        networks = self.networks
        networks.copy_buffers()
        average = self._all(networks.g_ema, networks.e_ema, networks.mapping_ema)
        raw = self._all(networks.generator, networks.encoder, networks.mapping)
        errors = {
            name: float((x["again"] - self.real).square().mean())
            for name, x in (("mse", average), ("mse_raw", raw))
        }
        errors |= {f"sharpness, {key}": self._sharpness(average[key]) for key in _SHARPNESS}
        self._note(finished, errors)
        differ = any(float((average[k] - raw[k]).abs().mean()) > _DIFFERENT for k in ("again", "samples"))
        both = [average, raw] if differ else [average]
        grids = {
            "reconstructions": [self.real, *(x["again"] for x in both)],
            "samples": [row for x in both for row in x["samples"].split(_ACROSS)],
        }
        for name, rows in grids.items():
            record.save_grid(rows, self.folder / name / f"{finished:08d}.png")
        sheet = self._sheet(both, status)
        files.save(sheet, self.folder / "dashboard" / f"{finished:08d}.png")
        if board is not None:
            import numpy as np

            board.add_image("dashboard", np.asarray(sheet), finished, dataformats="HWC")

    def animate(self) -> Path | None:
        """run.gif of the dashboards, some 60 of them at most; None without any."""
        found = sorted((self.folder / "dashboard").glob("*.png"))
        if not found:
            return None
        step = max(1, -(-len(found) // _FRAMES))
        chosen = found[::-1][::step][::-1]  # the last one is among them
        frames = [_narrow(Image.open(path).convert("RGB")) for path in chosen]
        height = max(frame.height for frame in frames)
        canvas = [Image.new("RGB", (_FRAME_WIDTH, height), (250, 250, 248)) for _ in frames]
        for each, frame in zip(canvas, frames, strict=True):
            each.paste(frame)
        path = self.folder / "run.gif"
        times = [_FRAME_TIME] * (len(canvas) - 1) + [10 * _FRAME_TIME]
        with write_whole(path) as file:
            canvas[0].save(file, "GIF", save_all=True, append_images=canvas[1:], duration=times, loop=0)
        return path

    def _all(self, generator: Generator, encoder: Encoder, mapping: Mapping) -> dict[str, Tensor]:
        """Every picture of one set of networks, N x 3 x S x S each."""
        synthesis = Synthesis(generator)
        w = encoder(self.real)
        share = torch.linspace(0, 1, _ACROSS, device=w.device)[:, None, None, None]
        return {
            "again": synthesis(w),
            "samples": self._samples(synthesis, mapping),
            "edits": synthesis(w, self.masks),
            "between": synthesis(w[:1].lerp(w[1:2] if len(w) > 1 else w[:1], share)),
        }

    def _sharpness(self, pictures: Tensor) -> float:
        """Laplacian energy over that of the photos: 1 where pictures are as sharp as those."""
        return float(laplacian_energy(pictures.clamp(-1, 1)).mean() / laplacian_energy(self.real).mean())

    def _samples(self, synthesis: Synthesis, mapping: Mapping) -> Tensor:
        """Eight at truncations 1 and 0.7; with classes eight of each at 0.7."""
        wanted: list[tuple[int | None, float]]
        wanted = [(number, 0.7) for number in range(min(self.config.classes, _CLASS_ROWS))]
        rows = []
        for number, psi in wanted or [(None, 1.0), (None, 0.7)]:
            labels = None
            if number is not None:
                labels = torch.full((len(self.z),), number, device=self.z.device)
            stylemaps = mapping(self.z, labels)
            mean = stylemaps.mean(0, keepdim=True)
            rows.append(synthesis(mean + psi * (stylemaps[:_ACROSS] - mean)))
        return torch.cat(rows)

    def _sheet(self, both: list[dict[str, Tensor]], status: str) -> Image.Image:
        masked = [overlay(image.cpu(), [mask]) for image, mask in zip(self.real, self.masks, strict=True)]
        rows: list[Row] = [_tiles(self.real)]
        labels = ["photos"]

        def add(name: str, key: str, rows_of: int = 1) -> None:
            for which, pictures in zip(("", " (raw)"), both):
                for part in pictures[key].split(_ACROSS)[:rows_of]:
                    rows.append(_tiles(part))
                    labels.append(name + which)

        add("again", "again")
        add("samples", "samples", 4)
        rows += [[Tile(image) for image in masked], _tiles(next_image(self.real))]
        labels += ["masks", "references"]
        add("edits", "edits")
        add("between", "between")
        rows += self._curves()
        return contact_sheet(rows, title="stylemap train", note=status, labels=labels, tile=_TILE)

    def _curves(self) -> list[Row]:
        entries = record.read(self.folder / "losses.jsonl")
        metrics = record.read(self.folder / "metrics.jsonl")
        series = {name: [entry[name] for entry in entries if name in entry] for name in _CURVES}
        for name in ("mse", "mse_raw", *(f"sharpness, {key}" for key in _SHARPNESS)):
            series[name] = [entry[name] for entry in metrics if name in entry]
        tiles = [Tile(curve(values[-400:], _TILE, name)) for name, values in series.items() if values]
        return [tiles[start : start + _ACROSS] for start in range(0, len(tiles), _ACROSS)]

    def _note(self, finished: int, errors: dict[str, float]) -> None:
        """A line of metrics.jsonl; those that a resumed run repeats go."""
        path = self.folder / "metrics.jsonl"
        lines = [line for line in record.read(path) if line["iteration"] < finished]
        lines.append({"iteration": finished} | {name: float(f"{v:.6g}") for name, v in errors.items()})
        with write_whole(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def _tiles(batch: Tensor) -> list[Tile]:
    return [Tile(image) for image in batch.float().cpu()]


def _narrow(image: Image.Image) -> Image.Image:
    height = round(image.height * _FRAME_WIDTH / image.width)
    return image.resize((_FRAME_WIDTH, height), Image.Resampling.LANCZOS)
