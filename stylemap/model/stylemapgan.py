"""StyleMapGAN: image → stylemap → stylecodes → image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.checks import check_codes, check_images, check_stylemap, check_tensor
from stylemap.model.decoder import Generator
from stylemap.model.encoder import Encoder
from stylemap.model.protocol import Sampling


class StyleMapGAN(Sampling, nn.Module):
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
    def like(self) -> Tensor:
        """Of the dtype and on the device of images and stylemaps."""
        return self.generator.decoder.input.input

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self.like)
        stylemap: Tensor = self.encoder(images)
        return stylemap

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""
        check_stylemap(w, self.config, self.like)
        codes: list[Tensor] = self.generator.decoder.convs_latent(w)
        return codes

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, nominally in [-1, 1] but not limited to it."""
        check_codes(codes, self.config, self.like)
        images: Tensor = self.generator.decoder(codes)
        return images

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps: synthesize(stylecodes(w))."""
        return self.synthesize(self.stylecodes(w))

    def map(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, drawn from N(0, 1)."""
        check_tensor("z", z, (self.config.latent_channel_size,), self.like)
        stylemap: Tensor = self.generator.mapping_z(z)
        return stylemap

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))
