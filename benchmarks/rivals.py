"""The backends by name, each made when it is asked for; what is not installed is left out with one line."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylemap.benchmarks.backends import DTYPES, Backend, Codes, Engine, Photos
from stylemap.benchmarks.baselines import Plain, Published
from stylemap.model import StyleMapGAN

#: Name, label, and precisions on a CPU and on a GPU, in the order of tables. Everything is compared with
#: "engine". The published formulation, ONNX Runtime's CPU kernels and the fastest ones of ncnn are fp32.
_BACKENDS = (
    ("engine", "stylemap", ("fp32", "bf16"), ("fp32", "bf16", "fp16")),
    ("published", "published formulation", ("fp32",), ("fp32",)),
    ("plain", "plain PyTorch", ("fp32", "bf16"), ("fp32", "bf16", "fp16")),
    ("compile", "torch.compile", ("fp32", "bf16"), ("fp32", "bf16", "fp16")),
    ("onnxruntime", "ONNX Runtime", ("fp32",), ("fp32", "fp16")),
    ("openvino", "OpenVINO", ("fp32", "bf16"), ()),
    ("ncnn", "ncnn", ("fp32",), ()),
)
NAMES = tuple(name for name, *_ in _BACKENDS)
LABELS = {name: label for name, label, *_ in _BACKENDS}
_OFFERED = {name: {"cpu": cpu, "cuda": cuda} for name, _, cpu, cuda in _BACKENDS}
#: Photos that plain backends decode at once.
_CHUNK = 4


def offered(name: str, precision: str, device: torch.device) -> bool:
    """Whether there is such a backend at all."""
    return precision in _OFFERED[name][device.type]


class Missing(RuntimeError):
    """A backend that this machine does not have, or that cannot do this; the message is one line."""


class Makers:
    """Backends of one model and its photos. What is exported for some is exported once."""

    def __init__(self, model: StyleMapGAN, photos: Photos, device: torch.device, threads: int) -> None:
        self._model, self._photos, self._device, self._threads = model, photos, device, threads
        self._folder = tempfile.TemporaryDirectory()
        self._exported: dict[str, Path] = {}

    def __call__(self, name: str, precision: str) -> Backend:
        """A backend that is ready to play.

        Raises:
            Missing: it is not installed, or does not run here.
        """
        make: Callable[[str], Backend] = getattr(self, f"_{name}")
        return make(precision)

    def forget_model(self) -> None:
        """For when there will be no other backends: those made so far have what they need of it."""
        del self._model

    def close(self) -> None:
        """Delete what was exported."""
        self._folder.cleanup()

    def _engine(self, precision: str) -> Backend:
        return Engine(self._model, precision, self._photos, self._device)

    def _published(self, precision: str) -> Backend:
        model = self._model
        if self._device.type != "cpu":
            model = copy.deepcopy(model).to(self._device)
        network = Published(model)
        network.kernel = network.kernel.to(self._device)
        return self._codes("published", precision, network, torch.float32, chunk=_CHUNK)

    def _plain(self, precision: str) -> Backend:
        network = _plain_network(self._model, precision, self._device)
        return self._codes("plain", precision, network, DTYPES[precision], chunk=_CHUNK)

    def _compile(self, precision: str) -> Backend:
        network = Compiled(_plain_network(self._model, precision, self._device))
        return self._codes("compile", precision, network, DTYPES[precision])

    def _onnxruntime(self, precision: str) -> Backend:
        _need("onnxruntime", "onnx", "onnxscript")
        provider = "onnxruntime-cuda" if self._device.type == "cuda" else "onnxruntime"
        return self._runtime("onnxruntime", precision, provider, precision)

    def _openvino(self, precision: str) -> Backend:
        _need("openvino", "onnx", "onnxscript")
        return self._runtime("openvino", precision, "openvino" if precision == "fp32" else "openvino-bf16")

    def _ncnn(self, precision: str) -> Backend:
        _need("ncnn", "pnnx")
        from stylemap.benchmarks.ncnn_network import NcnnNetwork

        network = NcnnNetwork(self._model, Path(self._folder.name) / "ncnn", self._threads)
        return self._codes("ncnn", precision, network, torch.float32)

    def _runtime(self, name: str, precision: str, provider: str, stored: str = "fp32") -> Backend:
        from stylemap.export import Runtime, export_onnx

        if stored not in self._exported:
            folder = Path(self._folder.name) / stored
            graphs = ("encoder", "stylecodes", "synthesis", "decoder")
            export_onnx(self._model, folder, graphs, precision=stored, batches=(1,))
            self._exported[stored] = folder
        try:
            runtime = Runtime(self._exported[stored], provider, threads=self._threads)
        except (ImportError, RuntimeError) as error:
            raise Missing(f"{LABELS[name]} {precision}: {str(error).splitlines()[0]}") from error
        return self._codes(name, precision, runtime, torch.float32, chunk=_CHUNK)

    def _codes(
        self, name: str, precision: str, network: Any, dtype: torch.dtype, *, chunk: int = 1
    ) -> Backend:
        return Codes(
            LABELS[name], precision, self._photos, network, chunk=chunk, device=self._device, dtype=dtype
        )


class Compiled:
    """`Plain` through torch.compile, weights frozen into it."""

    def __init__(self, plain: Plain) -> None:
        import torch._inductor.config as inductor

        inductor.freezing = True
        mode = "max-autotune" if next(plain.buffers()).is_cuda else None
        self._compiled = {
            name: torch.compile(_Part(plain, name).eval(), dynamic=False, mode=mode)
            for name in ("encode", "stylecodes", "synthesize")
        }

    def encode(self, images: Tensor) -> Tensor:
        """Images N×3×S×S to stylemaps N×K×L×L."""
        stylemap: Tensor = self._compiled["encode"](images)
        return stylemap

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """Stylemaps to stylecodes, each N×C×r×r."""
        codes: list[Tensor] = self._compiled["stylecodes"](w)
        return codes

    def synthesize(self, codes: list[Tensor]) -> Tensor:
        """Stylecodes to images."""
        last = [code.contiguous(memory_format=torch.channels_last) for code in codes]
        image: Tensor = self._compiled["synthesize"](last)
        return image

    def decode(self, w: Tensor) -> Tensor:
        """Stylemaps to images."""
        return self.synthesize(self.stylecodes(w))


class _Part(nn.Module):
    """One method of `Plain` as a module of its own: freezing takes modules."""

    def __init__(self, plain: Plain, name: str) -> None:
        super().__init__()
        self.plain, self._name = plain, name

    def forward(self, x: Tensor | Sequence[Tensor]) -> Any:
        return getattr(self.plain, self._name)(x)


def _plain_network(model: StyleMapGAN, precision: str, device: torch.device) -> Plain:
    network = Plain(model).eval()
    return network.to(device, DTYPES[precision])


def _need(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Missing(f"{LABELS[packages[0]]}: not installed (pip install {' '.join(missing)})")
