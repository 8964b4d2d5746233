"""StyleMapGAN: image → stylemap → stylecodes → image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.checks import check_codes, check_images, check_stylemap, check_tensor
from stylemap.model.decoder import Generator
from stylemap.model.encoder import Encoder

_MAPPING_BATCH = 512


class StyleMapGAN(nn.Module):
    """Encoder and generator of one configuration ("Exploiting Spatial Dimensions of Latent in GAN for
    Real-time Image Editing", arXiv 2104.14754).

    Images are N×3×S×S, RGB in [-1, 1]; stylemaps N×K×L×L; stylecodes a list of N×C×r×r, two per
    resolution r = L, 2L, …, S (`Config.stylecode_shapes`). Tensors must have the dtype and device of
    the model's parameters (any floating dtype under autocast): otherwise TypeError or ValueError.
    A new model has the random weights training starts from; `stylemap.load` reads trained ones.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.encoder = Encoder(config)

    @property
    def _like(self) -> Tensor:
        return self.generator.decoder.input.input

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self._like)
        stylemap: Tensor = self.encoder(images)
        return stylemap

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""
        check_stylemap(w, self.config, self._like)
        codes: list[Tensor] = self.generator.decoder.convs_latent(w)
        return codes

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, nominally in [-1, 1] but not limited to it."""
        check_codes(codes, self.config, self._like)
        images: Tensor = self.generator.decoder(codes)
        return images

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps: synthesize(stylecodes(w))."""
        return self.synthesize(self.stylecodes(w))

    def map(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, drawn from N(0, 1)."""
        check_tensor("z", z, (self.config.latent_channel_size,), self._like)
        stylemap: Tensor = self.generator.mapping_z(z)
        return stylemap

    @torch.no_grad()
    def mean_stylemap(self, samples: int = 4096, seed: int = 0) -> Tensor:
        """Mean 1×K×L×L of ``samples`` mapped z: the centre of truncation.

        z comes from a generator on the CPU, so that every device averages the same samples.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        like, generator = self._like, torch.Generator().manual_seed(seed)
        total = torch.zeros(self.config.stylemap_shape, dtype=torch.promote_types(like.dtype, torch.float32))
        total = total.to(like.device)
        for start in range(0, samples, _MAPPING_BATCH):
            count = min(_MAPPING_BATCH, samples - start)
            z = torch.randn(count, self.config.latent_channel_size, generator=generator)
            total += self.map(z.to(like)).sum(0, dtype=total.dtype)
        return (total / samples).to(like.dtype).unsqueeze(0)

    def sample(self, z: Tensor, truncation: float = 1.0, mean_stylemap: Tensor | None = None) -> Tensor:
        """Images N×3×S×S of z N×K, with truncated stylemaps w̄ + truncation·(w − w̄).

        mean_stylemap: w̄, 1×K×L×L or one per z; by default `mean_stylemap()`, made anew at every call
        with a truncation other than 1.
        """
        w = self.map(z)
        if truncation != 1.0:
            mean = self.mean_stylemap() if mean_stylemap is None else mean_stylemap
            check_stylemap(mean, self.config, self._like)
            if mean.shape[0] not in (1, w.shape[0]):
                raise ValueError(f"mean_stylemap: expected a batch of 1 or {w.shape[0]}, got {mean.shape[0]}")
            w = mean + truncation * (w - mean)
        return self.decode(w)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))
