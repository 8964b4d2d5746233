"""What the names in a checkpoint's pickle stand for: functions that build plain values, and nothing else.

Every function takes what it is given for hostile: types are compared exactly, and no length or shape
allocates more than the bytes that came along.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SCALARS = (str, int, float, bool, bytes, complex, type(None))
_MAX_KEY_PARTS = 8
_MAX_DIMENSIONS = 25
_CODECS = ("latin1", "latin-1", "utf-8", "ascii")
_NUMPY_TYPE = re.compile(r"[<>|=]?[biufcSU]\d{1,4}|\?")
_Values = dict[Any, Any]


class RefusedError(Exception):
    """A pickle that asks for more than plain values; the message is what it asks for."""


@dataclass(frozen=True, eq=False)
class Name:
    """A name in a file. function: what calling it does here; None where that is refused.

    text: as the file has it. storage_dtype: of a name that stands for a kind of storage.
    """

    text: str
    function: Callable[..., Any] | None = None
    storage_dtype: torch.dtype | None = None


@dataclass(frozen=True, eq=False)
class Box:
    """What becomes part of another value, or a value that nobody needs.

    kind: "storage", "dtype", or the name of what nobody needs.
    """

    kind: str
    value: Any = None


def named(module: str, name: str) -> Any:
    """What a name of a file stands for: a dtype of torch, else a `Name`."""
    text = f"{_SAME_MODULES.get(module, module)}.{name}"
    if text in _TORCH_DTYPES:
        return _TORCH_DTYPES[text]
    return Name(f"{module}.{name}", _FUNCTIONS.get(text), _STORAGES.get(text))


def built(name: Any, arguments: Any) -> Any:
    """The value that a call of ``name`` stands for. Raises RefusedError for any other call."""
    if type(name) is not Name or name.function is None or type(arguments) is not tuple:
        raise RefusedError(name.text if type(name) is Name else f"a {type(name).__name__}")
    try:
        return name.function(*arguments)
    except (TypeError, ValueError, RuntimeError, OverflowError, IndexError) as error:
        raise RefusedError(f"{name.text} of something else") from error


def filled(target: Any, state: Any) -> None:
    """Give a value that was just built its state. Raises RefusedError for what has none."""
    try:
        if type(target) is argparse.Namespace:
            state = state[0] if type(state) is tuple else state
            vars(target).update({key: value for key, value in _dict(state).items() if type(key) is str})
        elif type(target) is np.ndarray:
            _fill_array(target, *state[-4:])
        elif type(target) is Box and target.kind == "dtype":
            _order(target, state)
        elif type(target) is not dict and (type(target) is not Box or target.kind == "storage"):
            raise TypeError  # a dict is one with attributes, such as the versions of a state dict's modules
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise RefusedError(f"a {type(target).__name__} with a state") from error


def is_key(value: Any) -> bool:
    """Whether a value may be a key or be in a set: its hash costs little, and few values share it."""
    if type(value) is tuple:
        return len(value) <= _MAX_KEY_PARTS and all(type(one) in _SCALARS for one in value)
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in _SCALARS or type(value) is torch.dtype


def checked_key(value: Any) -> Any:
    """The value, which `is_key`; else RefusedError."""
    if not is_key(value):
        raise RefusedError(f"a {type(value).__name__} as a key")
    return value


def _dict(items: Any = ()) -> _Values:
    """Also of an OrderedDict, a Counter."""
    if type(items) is dict:
        return dict(items)
    return {checked_key(key): value for key, value in _list(items)}


def _default_dict(factory: Any = None, items: Any = ()) -> _Values:
    return _dict(items)


def _list(items: Any = (), longest: Any = None) -> list[Any]:
    """Also of a deque."""
    if type(items) not in (list, tuple, set, frozenset):
        raise TypeError
    return list(items)


def _set(items: Any = ()) -> set[Any]:
    return set(map(checked_key, _list(items)))


def _frozen_set(items: Any = ()) -> frozenset[Any]:
    return frozenset(_set(items))


def _namespace() -> argparse.Namespace:
    return argparse.Namespace()


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    if type(text) is not str or encoding not in _CODECS:
        raise TypeError
    return text.encode(encoding)


def _bytes(data: Any = b"", encoding: Any = None) -> bytes:
    if type(data) is bytes and encoding is None:
        return data
    return _encoded(data, encoding)


def _byte_array(data: Any = b"", encoding: Any = None) -> bytearray:
    return bytearray(_bytes(data, encoding))


def _complex(real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if {type(real), type(imaginary)} - {int, float}:
        raise TypeError
    return complex(real, imaginary)


def _posix_path(*parts: Any) -> str:
    return str(PurePosixPath(*_texts(parts)))


def _windows_path(*parts: Any) -> str:
    return str(PureWindowsPath(*_texts(parts)))


def _texts(parts: tuple[Any, ...]) -> tuple[str, ...]:
    if not all(type(part) is str for part in parts):
        raise TypeError
    return parts


def _plain_object(kind: Any, base: Any, state: Any) -> Any:
    """As protocols 0 and 1 write objects."""
    if type(base) is not Name or state is not None:
        raise TypeError
    return built(kind, ())


def _new_object(kind: Any, *arguments: Any) -> Any:
    return built(kind, arguments)


def _size(sizes: Any) -> torch.Size:
    return torch.Size(_whole(sizes))


def _device(kind: Any, index: Any = None) -> torch.device:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise TypeError
    return torch.device(kind) if index is None else torch.device(kind, index)


def _whole(values: Any) -> tuple[int, ...]:
    """Whole numbers from 0 on."""
    if type(values) not in (tuple, list, torch.Size) or len(values) > _MAX_DIMENSIONS:
        raise TypeError
    if not all(type(one) is int and 0 <= one < 2**63 for one in values):
        raise ValueError
    return tuple(values)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *further: Any) -> Tensor:
    """A view of a storage, all of which lies in it. further: gradients and hooks, which are left out."""
    if type(storage) is not Box or storage.kind != "storage":
        raise TypeError
    data, dtype = storage.value
    (start,), sizes, strides = _whole((offset,)), _whole(size), _whole(stride)
    if len(sizes) != len(strides):
        raise ValueError
    if 0 in sizes:
        return torch.empty(sizes, dtype=dtype)
    last = start + sum((count - 1) * step for count, step in zip(sizes, strides))
    if (last + 1) * dtype.itemsize > data.nbytes() or math.prod(sizes) >= 2**62:
        raise ValueError
    return torch.empty(0, dtype=dtype).set_(data, start, sizes, strides)


def _tensor_of_dtype(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any, *further: Any
) -> Tensor:
    """The same of a storage of bytes."""
    if type(storage) is not Box or storage.kind != "storage" or type(dtype) is not torch.dtype:
        raise TypeError
    return _tensor(Box("storage", (storage.value[0], dtype)), offset, size, stride)


def _parameter(data: Any, *further: Any) -> Tensor:
    if type(data) is not Tensor:
        raise TypeError
    return data


def _tensor_of_kind(function: Any, kind: Any, arguments: Any, state: Any) -> Tensor:
    """A tensor with attributes, such as an nn.Buffer, without them."""
    return _parameter(built(function, arguments))


def _numpy_type(code: Any, align: Any = False, copy: Any = True) -> Box:
    if type(code) is not str or not _NUMPY_TYPE.fullmatch(code):
        raise TypeError
    return Box("dtype", [np.dtype(code)])


def _order(target: Box, state: Any) -> None:
    """Set the order of bytes of a type of numpy's: (version, order, …)."""
    order, *structure = state[1:5]
    if order not in ("<", ">", "|", "=") or any(one is not None for one in structure):
        raise ValueError
    target.value[0] = target.value[0].newbyteorder(order)


def _numpy_scalar(kind: Any, data: Any) -> Any:
    """A number, text or bytes."""
    dtype = _dtype(kind)
    if dtype.itemsize == 0:
        return "" if dtype.kind == "U" else b""
    value = _array(data, kind, ())[()]
    return value.item() if isinstance(value.item(), _SCALARS) else float(value)


def _dtype(kind: Any) -> np.dtype[Any]:
    if type(kind) is not Box or kind.kind != "dtype":
        raise TypeError
    found: np.dtype[Any] = kind.value[0]
    return found


def _array(data: Any, kind: Any, shape: Any, order: Any = "C", axes: Any = None) -> np.ndarray[Any, Any]:
    """Also of a buffer."""
    dtype, sizes = _dtype(kind), _whole((shape,) if type(shape) is int else shape)
    if type(data) not in (bytes, bytearray) or order not in ("C", "F") or axes is not None:
        raise TypeError
    if math.prod(sizes) * dtype.itemsize != len(data) or dtype.itemsize == 0:
        raise ValueError
    return np.frombuffer(bytes(data), dtype).reshape(sizes, order=order)


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray[Any, Any]:
    if type(kind) is not Name or kind.text != "numpy.ndarray":
        raise TypeError
    return np.empty(0)


def _fill_array(target: Any, shape: Any, kind: Any, fortran: Any, data: Any) -> None:
    array = _array(data, kind, shape, "F" if fortran is True else "C")
    target.__setstate__((1, array.shape, array.dtype, fortran is True, array.tobytes("A")))


def _unneeded(text: str) -> Callable[..., Box]:
    return lambda *arguments: Box(text)


_SAME_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pathlib._local": "pathlib",
}
_TORCH_DTYPES = {
    f"torch.{name}": getattr(torch, name)
    for name in (
        "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128 "
        "uint16 uint32 uint64 float8_e4m3fn float8_e5m2"
    ).split()
}
_STORAGES = {
    f"torch.{name}Storage": getattr(torch, dtype)
    for name, dtype in zip(
        "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble".split(),
        "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split(),
    )
} | {"torch.storage.UntypedStorage": torch.uint8}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,
    "argparse.Namespace": _namespace,
    "builtins.bytearray": _byte_array,
    "builtins.bytes": _bytes,
    "builtins.complex": _complex,
    "builtins.dict": _dict,
    "builtins.frozenset": _frozen_set,
    "builtins.list": _list,
    "builtins.set": _set,
    "collections.Counter": _dict,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _default_dict,
    "collections.deque": _list,
    "copyreg.__newobj__": _new_object,
    "copyreg._reconstructor": _plain_object,
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy._core.numeric._frombuffer": _array,
    "numpy.dtype": _numpy_type,
    "torch.Size": _size,
    "torch._tensor._rebuild_from_type_v2": _tensor_of_kind,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch.device": _device,
    "torch.nn.parameter.Buffer": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "types.SimpleNamespace": _namespace,
}
_FUNCTIONS |= {f"pathlib.{name}": _posix_path for name in ("Path", "PosixPath", "PurePath", "PurePosixPath")}
_FUNCTIONS |= {f"pathlib.{name}": _windows_path for name in ("PureWindowsPath", "WindowsPath")}
_FUNCTIONS |= {
    text: _unneeded(text)
    for text in (
        "builtins.range builtins.slice builtins.xrange datetime.date datetime.datetime datetime.time "
        "datetime.timedelta datetime.timezone decimal.Decimal fractions.Fraction uuid.UUID"
    ).split()
}
