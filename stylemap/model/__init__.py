"""The networks, one file each; the operators they run on are in `stylemap.ops`."""

from stylemap.model.decoder import Decoder, Generator
from stylemap.model.discriminator import Discriminator
from stylemap.model.encoder import Encoder
from stylemap.model.mapping import MappingNetwork
from stylemap.model.modulation import ModulatedConv2d, StyledConv
from stylemap.model.protocol import Blending, Conditional, Model, Sampling
from stylemap.model.stylecodes import Stylecodes
from stylemap.model.stylemapgan import StyleMapGAN

__all__ = [
    "Blending",
    "Conditional",
    "Decoder",
    "Discriminator",
    "Encoder",
    "Generator",
    "MappingNetwork",
    "Model",
    "ModulatedConv2d",
    "Sampling",
    "StyleMapGAN",
    "Stylecodes",
    "StyledConv",
]


def __dir__() -> list[str]:
    return __all__
