"""StyleMapGAN: image → stylemap → stylecodes → image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.inputs import ImagesLike
from stylemap.model.checks import as_images, check_classes, check_codes, check_stylemap, check_tensor
from stylemap.model.classes import class_number, own_classes
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

    class_names: of a class-conditional model, whose mapping network gets a learned vector of the class
        added to z; encoder and decoder know no classes.
    """

    def __init__(self, config: Config, class_names: Sequence[str] = ()) -> None:
        super().__init__()
        self.config = config
        self.class_names = tuple(class_names)
        self.generator = Generator(config)
        self.encoder = Encoder(config)
        width = config.latent_channel_size
        self.class_vectors = nn.Embedding(len(self.class_names), width) if class_names else None

    @property
    def like(self) -> Tensor:
        """Of the dtype and on the device of images and stylemaps."""
        return self.generator.decoder.input.input

    def encode(self, images: ImagesLike) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1], or of pictures (`stylemap.inputs.ImagesLike`)."""
        stylemap: Tensor = self.encoder(as_images(images, self.config, self.like))
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

    def map(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, drawn from N(0, 1).

        Args:
            z: the random vectors.
            classes: of a class-conditional model, int64 N; by default every z has a class of its own, see
                `stylemap.model.classes.own_classes`.
        """
        check_tensor("z", z, (self.config.latent_channel_size,), self.like)
        if self.class_vectors is not None:
            count = self.class_vectors.num_embeddings
            chosen = own_classes(z, count) if classes is None else check_classes(classes, len(z), count)
            z = z + self.class_vectors(chosen.to(z.device))
        elif classes is not None:
            raise ValueError("classes: the model knows none")
        stylemap: Tensor = self.generator.mapping_z(z)
        return stylemap

    def of_class(self, name: str) -> StyleMapGAN:
        """The same networks, sharing their weights, with one class alone, which `map` then always takes.

        name: one of ``class_names``, or its number. Raises ValueError for another.
        """
        number = class_number(self.class_names, name)
        assert self.class_vectors is not None
        with torch.device("meta"):
            model = StyleMapGAN(self.config, self.class_names[number : number + 1])
        model.generator, model.encoder = self.generator, self.encoder
        chosen = self.class_vectors.weight.detach()[number : number + 1].clone()
        model.class_vectors = nn.Embedding.from_pretrained(chosen)
        return model.train(self.training)

    def forward(self, images: ImagesLike) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))
