"""The pickle of a checkpoint, read as a tree of plain values and tensors. Nothing in a file is executed.

Python's unpickler imports and calls whatever a file names. This one imports nothing: a name of the file is
looked up in the closed table of `stylemap.checkpoint.harmless`, which builds dictionaries, lists, sets,
texts, numbers, arrays and tensors. A name that is not there may be referred to (as the factory of a
defaultdict, say) but not called. It takes the place of torch's restricted unpickler, which reads protocol 2
alone and none of the classes that training scripts leave in their arguments.

What a pickle costs is bounded by its length: no count, shape or length in it decides how much is allocated.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from stylemap.checkpoint.harmless import Box, Name, RefusedError, built, checked_key, filled, named

#: (key, dtype, number of elements) of a storage to its bytes.
Storages: TypeAlias = Callable[[str, torch.dtype, int], torch.UntypedStorage]

# The one in C has no methods to override for the calls it makes.
_PythonUnpickler: Any = pickle._Unpickler


class Reader(_PythonUnpickler):
    """Reads one pickle by its ``load``, which raises RefusedError for one that asks for more than plain
    values, and any Exception for a damaged one.

    Args:
        file: with the pickle next; afterwards it stands behind it.
        storages: where tensors have their bytes.
    """

    def __init__(self, file: io.BytesIO, storages: Storages) -> None:
        super().__init__(file, encoding="utf-8")
        self._bytes, self._storages = len(file.getbuffer()), storages

    def find_class(self, module: str, name: str) -> Any:
        """Never a class: what the file calls by this name."""
        return named(module, name)

    def get_extension(self, code: int) -> None:
        """Refused: what names have these numbers is a matter of the process that reads."""
        raise RefusedError(f"extension {code}")

    def persistent_load(self, given: Any) -> Box:
        """A storage, as `torch.save` writes it: ("storage", kind, key, device, count[, view])."""
        if type(given) is not tuple or not 5 <= len(given) <= 6 or given[0] != "storage":
            raise RefusedError("an object outside of it")
        kind, key, _, count = given[1:5]
        dtype = kind.storage_dtype if type(kind) is Name else None
        if dtype is None:
            raise RefusedError(kind.text if type(kind) is Name else "a storage of no known kind")
        if type(key) is not str or type(count) is not int or count < 0:
            raise RefusedError("a storage without a name or length")
        storage = Box("storage", (self._storages(key, dtype, count), dtype))
        return storage if len(given) == 5 or given[5] is None else _viewed(storage, given[5])

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = built(self.stack[-1], arguments)

    def _new_object_with_keywords(self) -> None:
        if self.stack.pop() != {}:
            raise RefusedError("an object with keywords")
        self._reduce()

    def _instantiate(self, kind: Any, arguments: list[Any]) -> None:
        self.append(built(kind, tuple(arguments)))

    def _build(self) -> None:
        state = self.stack.pop()
        filled(self.stack[-1], state)

    def _append(self) -> None:
        value = self.stack.pop()
        _of(self.stack[-1], list).append(value)

    def _appends(self) -> None:
        items = self.pop_mark()
        _of(self.stack[-1], list).extend(items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _of(self.stack[-1], dict)[checked_key(key)] = value

    def _set_items(self) -> None:
        items = self.pop_mark()
        _of(self.stack[-1], dict).update(_pairs(items))

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append(_pairs(items))

    def _add_items(self) -> None:
        items = self.pop_mark()
        _of(self.stack[-1], set).update(map(checked_key, items))

    def _frozen_set(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(map(checked_key, items)))

    def _byte_array(self) -> None:
        # Python's own allocates what the file claims before it reads.
        length = min(int.from_bytes(self.read(8), "little"), self._bytes + 1)
        self.append(bytearray(self.read(length)))

    dispatch = _PythonUnpickler.dispatch | {
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _reduce,
        pickle.NEWOBJ_EX[0]: _new_object_with_keywords,
        pickle.BUILD[0]: _build,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _appends,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        pickle.ADDITEMS[0]: _add_items,
        pickle.FROZENSET[0]: _frozen_set,
        pickle.BYTEARRAY8[0]: _byte_array,
    }


def _viewed(storage: Box, view: Any) -> Box:
    """Part of a storage, as torch before 0.4 wrote it: (key, first element, count)."""
    whole, dtype = storage.value
    if type(view) is not tuple or len(view) != 3 or not all(type(one) is int for one in view[1:]):
        raise RefusedError("a view of no known kind")
    start, count = (one * dtype.itemsize for one in view[1:])
    if start < 0 or count < 0 or start + count > whole.nbytes():
        raise RefusedError("a view beyond its storage")
    return Box("storage", (whole[start : start + count] if count else torch.UntypedStorage(0), dtype))


def _of(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise RefusedError(f"a {kind.__name__} that is none")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise EOFError("a key without a value")
    return {checked_key(items[i]): items[i + 1] for i in range(0, len(items), 2)}
