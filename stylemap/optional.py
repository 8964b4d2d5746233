"""Packages that only some uses need, the extras of pyproject.toml."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def require(module: str, purpose: str, install: str, name: str = "") -> Any:
    """An optional package's module.

    Args:
        module: to import.
        purpose: what needs it, as the message's first words.
        install: what pip is told to install.
        name: of the package, where the module has another.

    Raises:
        ImportError: it is missing or fails to import; the message says what needs it and how to install it.
    """
    message = f"{purpose} needs {name or module}: pip install {install}"
    try:
        if importlib.util.find_spec(module) is None:
            raise ImportError(message)
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(message) from error
