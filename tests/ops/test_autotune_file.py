"""The file of this machine's choices of kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylemap.ops import autotune


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEMAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "choices", {})
    monkeypatch.setattr(autotune, "_read", set())
    return tmp_path / "cache"


def test_choices_reach_the_next_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    autotune.recall()
    with autotune.kept():
        pass
    assert not folder.exists()
    with autotune.kept():
        autotune.choices["gpu | conv_act | (1,)"] = "triton"
    monkeypatch.setattr(autotune, "_read", set())
    monkeypatch.setattr(autotune, "choices", {})
    autotune.recall()
    assert autotune.choices == {"gpu | conv_act | (1,)": "triton"}


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"torch": None}), json.dumps({"choices": 3})])
def test_a_damaged_file_is_as_none(folder: Path, content: str) -> None:
    folder.mkdir()
    autotune.file().write_text(content)
    autotune.recall()
    assert autotune.choices == {}


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path) -> None:
    folder.write_text("a file")
    with autotune.kept():
        autotune.choices["a"] = "b"
    assert autotune.choices == {"a": "b"}
