"""ONNX files: metadata in, external weights shared by several graphs, all files or none."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from stylemap.files import make_folder, only_writer

# Kept inside the graph: external, a page each would be larger.
_SMALL = 1024
_PAGE = 4096
# The limit of a protobuf message is 2 GB; larger graphs need external weights.
_MESSAGE_LIMIT = (1 << 31) - (1 << 20)


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move to ``folder`` when the block succeeds, and vanish otherwise.

    Files of the same names are replaced, others stay. The temporary folder lies inside ``folder``, so
    that moving is renaming. What a killed process left of its own is removed.

    Raises:
        OSError: naming ``folder``, which cannot be written.
        ValueError: another process exports to it.
    """
    with ExitStack() as stack:
        try:
            make_folder(folder)
            stack.enter_context(only_writer(folder))
            for left in folder.glob(".export.*"):
                shutil.rmtree(left, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=".export.", dir=folder))
        except OSError as error:
            raise type(error)(f"cannot write {folder}: {error.strerror or error}") from error
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace the metadata of a model."""
    del model.metadata_props[:]
    helper.set_model_props(model, dict(metadata))


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model whose weights are inside, or were taken out by :func:`share_weights`.

    Raises:
        ValueError: it is too large for one file.
    """
    if model.ByteSize() > _MESSAGE_LIMIT:
        raise ValueError(f"{path.name} would be larger than 2 GB: export with external weights")
    path.write_bytes(model.SerializeToString())


class SharedWeights:
    """One file for the weights of several models, equal ones stored once.

    The file is named after its content, so that models exported later to the same folder cannot break
    those that refer to it. Models have to stay in one folder with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = hashlib.sha256()
        self.offsets: dict[str, int] = {}
        self.models: list[onnx.ModelProto] = []
        self._part = folder / "weights.part"

    def take_from(self, model: onnx.ModelProto) -> None:
        """Move the weights of a model into the file."""
        with open(self._part, "ab") as file:
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) < _SMALL:
                    continue
                key = hashlib.sha256(tensor.raw_data).hexdigest()
                if key not in self.offsets:
                    file.write(b"\0" * (-file.tell() % _PAGE))
                    self.offsets[key] = file.tell()
                    file.write(tensor.raw_data)
                    self.digest.update(key.encode())
                _refer(tensor, self.offsets[key], len(tensor.raw_data))
        self.models.append(model)

    def finish(self) -> None:
        """Give the file its name, in the models too."""
        name = f"weights.{self.digest.hexdigest()[:12]}.bin"
        self._part.rename(self.folder / name)
        for model in self.models:
            for tensor in model.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = name


def _refer(tensor: TensorProto, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "", "offset": str(offset), "length": str(length)}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
