"""The configuration of a StyleMapGAN. The shapes of all its weights follow from it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stylemap.files import shown

NORMALIZE_MODES = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")
GROUP_NORM_GROUPS = 8

#: The largest side of images, far above any useful network.
MAX_SIZE = 16384

# Upper limits, far above any useful network. A damaged or hostile file could otherwise ask for billions of
# layers before its tensors are checked.
_LIMITS = {
    "size": MAX_SIZE,
    "latent_spatial_size": 4096,
    "latent_channel_size": 8192,
    "channel_multiplier": 64,
    "mapping_layer_num": 64,
}
_MAX_CHANNELS = 8192
_MAX_LR_MUL = 1000


@dataclass(frozen=True)
class Config:
    """Sizes and choices of one StyleMapGAN, named as in the published training arguments.

    size: side S of the square images, a power of two, at least twice ``latent_spatial_size``.
    latent_channel_size: channels K of the stylemap.
    latent_spatial_size: side L of the stylemap, a power of two, at least 4.
    channel_multiplier: m of the default widths, see :meth:`channels`.
    normalize_mode: LayerNorm, InstanceNorm2d, BatchNorm2d or GroupNorm (8 groups).
    small_generator: stylecodes keep K channels at every resolution.
    mapping_layer_num: linear layers of the mapping network.
    lr_mul: learning-rate multiplier of the mapping network.
    channel_table: widths that replace the defaults: a mapping {resolution: channels}, kept as sorted pairs
        so that a configuration can be hashed.

    Raises ValueError, naming the field, for anything no network can be built from.
    """

    size: int = 256
    latent_channel_size: int = 64
    latent_spatial_size: int = 8
    channel_multiplier: int = 2
    normalize_mode: str = "LayerNorm"
    small_generator: bool = False
    mapping_layer_num: int = 8
    lr_mul: float = 0.01
    channel_table: tuple[tuple[int, int], ...] | Mapping[int, int] = ()

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            _check_integer(name, getattr(self, name), 1, limit)
        for name in ("size", "latent_spatial_size"):
            _check_power_of_two(name, getattr(self, name))
        if self.latent_spatial_size < 4:
            raise ValueError(f"latent_spatial_size must be at least 4, got {self.latent_spatial_size}")
        if self.size < 2 * self.latent_spatial_size:
            least = 2 * self.latent_spatial_size
            raise ValueError(f"size must be at least twice latent_spatial_size, {least}, got {self.size}")
        if not isinstance(self.normalize_mode, str) or self.normalize_mode not in NORMALIZE_MODES:
            modes = ", ".join(NORMALIZE_MODES)
            raise ValueError(f"normalize_mode must be one of {modes}, got {shown(self.normalize_mode)}")
        if not isinstance(self.small_generator, bool):
            raise ValueError(f"small_generator must be true or false, got {shown(self.small_generator)}")
        _check_lr_mul(self.lr_mul)
        object.__setattr__(self, "lr_mul", float(self.lr_mul))
        object.__setattr__(self, "channel_table", _sorted_table(self.channel_table))
        self._check_groups()

    def _check_groups(self) -> None:
        if self.normalize_mode != "GroupNorm":
            return
        for resolution in self.resolutions:
            channels = self.channels(resolution)
            if channels % GROUP_NORM_GROUPS:
                raise ValueError(
                    f"GroupNorm has {GROUP_NORM_GROUPS} groups, which do not divide"
                    f" the {channels} channels at resolution {resolution}"
                )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the decoder: L, 2L, …, S."""
        first, last = self.latent_spatial_size.bit_length(), self.size.bit_length()
        return tuple(1 << bit for bit in range(first - 1, last))

    def channels(self, resolution: int) -> int:
        """Feature-map channels at a resolution r: the table's, else 512 up to r = 32, then 16384·m / r."""
        table = dict(self.channel_table)
        if resolution in table:
            return table[resolution]
        return 512 if resolution <= 32 else max(1, 16384 * self.channel_multiplier // resolution)

    def stylecode_channels(self, resolution: int) -> int:
        """Channels of the two stylecodes at a resolution: K in the small generator, else channels(r)."""
        return self.latent_channel_size if self.small_generator else self.channels(resolution)

    @property
    def stylemap_shape(self) -> tuple[int, int, int]:
        """K, L, L."""
        return self.latent_channel_size, self.latent_spatial_size, self.latent_spatial_size

    @property
    def stylecode_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Channels, height, width of every stylecode, two per resolution, from the coarsest."""
        return tuple((self.stylecode_channels(r), r, r) for r in self.resolutions for _ in range(2))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON can hold them; the channel table with its resolutions as text."""
        values = dataclasses.asdict(self)
        values["channel_table"] = {str(r): c for r, c in dict(self.channel_table).items()}
        return values

    def to_json(self) -> str:
        """`to_dict` as JSON on one line, keys sorted."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Inverse of :meth:`to_dict`. Absent fields take their defaults.

        Raises:
            ValueError: an unknown field, or a value that no network can be built from.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(str(key) for key in values if key not in known)
        if unknown:
            raise ValueError(f"unknown configuration entries: {', '.join(unknown)[:200]}")
        fields = dict(values)
        if "channel_table" in fields:
            fields["channel_table"] = _table_from_json(fields["channel_table"])
        return cls(**fields)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Inverse of :meth:`to_json`. Raises ValueError for text that is not a JSON object."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"a configuration is a JSON object, got {shown(values)}")
        return cls.from_dict(values)

    @classmethod
    def from_namespace(cls, namespace: argparse.Namespace) -> Config:
        """From published training arguments. Missing fields take their defaults; other arguments are ignored.

        Raises:
            ValueError: a value that no network can be built from.
        """
        values = vars(namespace)
        names = (field.name for field in dataclasses.fields(cls))
        return cls.from_dict({name: values[name] for name in names if name in values})

    def to_namespace(self) -> argparse.Namespace:
        """Training arguments that :meth:`from_namespace` reads back."""
        values = self.to_dict()
        if not values["channel_table"]:
            del values["channel_table"]
        return argparse.Namespace(**values)


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")


def _check_power_of_two(name: str, value: int) -> None:
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two, got {value}")


def _check_lr_mul(value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value <= _MAX_LR_MUL):  # type: ignore[operator]
        raise ValueError(f"lr_mul must be a positive number of at most {_MAX_LR_MUL}, got {shown(value)}")


def _sorted_table(table: object) -> tuple[tuple[int, int], ...]:
    try:
        pairs = dict(table)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError(f"channel_table must map resolutions to channels, got {shown(table)}") from None
    for resolution, channels in pairs.items():
        _check_integer("a resolution in channel_table", resolution, 4, _LIMITS["size"])
        _check_power_of_two("a resolution in channel_table", resolution)
        _check_integer(f"channel_table[{resolution}]", channels, 1, _MAX_CHANNELS)
    return tuple(sorted(pairs.items()))


def _table_from_json(table: object) -> object:
    """JSON object keys are text: turn those that spell a number back into numbers."""
    if not isinstance(table, Mapping):
        return table
    return {
        int(key) if isinstance(key, str) and key.isdecimal() else key: value for key, value in table.items()
    }


__all__ = [
    "Config",
]


def __dir__() -> list[str]:
    return __all__
