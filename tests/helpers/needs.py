"""What a test needs and an installation may lack. Without it the test is skipped; in CI it fails.

CI installs everything (``pip install -e '.[all,dev]'``), so that there a missing package hides tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import NoReturn

import pytest


def missing(why: str) -> NoReturn:
    """Skips the test, or the module that is being imported; in CI, where the variable CI is set, fails it."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why, allow_module_level=True)


def package(name: str) -> ModuleType:
    """The imported module of an optional package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"{name} cannot be imported ({error}): pip install 'stylemap[all,dev]'")


def when(available: bool, why: str) -> pytest.MarkDecorator:
    """A mark for tests that need ``available``: in CI they run without it, and fail."""
    return pytest.mark.skipif(not available and not os.environ.get("CI"), reason=why)


def has(name: str) -> bool:
    """Whether an optional package is installed. In CI it is taken to be: its tests fail where it is not."""
    return importlib.util.find_spec(name) is not None or bool(os.environ.get("CI"))


def installed(name: str) -> pytest.MarkDecorator:
    """A mark for tests that import an optional package themselves."""
    return when(has(name), f"{name} is not installed")
