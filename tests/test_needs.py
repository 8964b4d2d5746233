"""Optional packages: tests that need them are skipped without them, and fail in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import needs

TESTS = Path(__file__).parent


def test_a_missing_package_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_package cannot be imported"):
        needs.package("no_such_package")
    assert needs.when(False, "missing").args == (True,)
    assert needs.when(True, "missing").args == (False,)


def test_a_missing_package_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match=r"pip install 'stylemap\[all,dev\]'"):
        needs.package("no_such_package")
    assert needs.when(False, "missing").args == (False,)


def test_what_ci_takes_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert needs.has("torch")
    assert not needs.has("no_such_package")
    assert needs.installed("no_such_package").args == (True,)
    monkeypatch.setenv("CI", "1")
    assert needs.has("no_such_package")
    assert needs.installed("no_such_package").args == (False,)


def test_an_installed_package_is_given() -> None:
    assert needs.package("torch.nn").__name__ == "torch.nn"


def test_no_test_skips_where_ci_would_not_notice() -> None:
    silent = ("importorskip" + "(", "util.find_spec" + "(", "import find" + "_spec")
    found = [
        f"{path.relative_to(TESTS)}: {word}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for word in silent
        if word in path.read_text()
    ]
    assert not found, f"use tests/helpers/needs.py: {found}"
