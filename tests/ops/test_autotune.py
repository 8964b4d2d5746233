from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
import torch

from stylemap.ops import autotune

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "choices", {})


def slow() -> str:
    time.sleep(0.005)
    return "slow"


def fast() -> str:
    return "fast"


def missing() -> str:
    raise ImportError("no such package")


def unsuitable() -> str:
    raise NotImplementedError("not for this shape")


CANDIDATES = {"missing": missing, "slow": slow, "unsuitable": unsuitable, "fast": fast}


def test_the_fastest_is_chosen_once_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stylemap.ops"):
        assert [autotune.run("op", (1, 2), CPU, CANDIDATES) for _ in range(2)] == ["fast", "fast"]
    chosen = [r.message for r in caplog.records if "fast, of" in r.message]
    assert len(chosen) == 1
    assert "slow" in chosen[0]
    assert any("no such package" in r.message for r in caplog.records)
    assert autotune.choices == {"cpu | op | (1, 2)": "fast"}


def test_a_named_implementation_is_taken_without_measuring() -> None:
    assert autotune.run("op", (1,), CPU, CANDIDATES, "slow") == "slow"
    assert not autotune.choices
    with pytest.raises(ImportError, match="no such package"):
        autotune.run("op", (1,), CPU, CANDIDATES, "missing")
    with pytest.raises(ValueError, match="implementation must be auto or one of missing, slow"):
        autotune.run("op", (1,), CPU, CANDIDATES, "quick")


def test_nothing_suitable() -> None:
    with pytest.raises(NotImplementedError, match="not for this shape"):
        autotune.run("op", (1,), CPU, {"missing": missing, "unsuitable": unsuitable})


def test_choices_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    autotune.run("op", (3,), CPU, CANDIDATES)
    autotune.save(path)
    autotune.choices.clear()
    autotune.load(path)
    assert autotune.choices == {"cpu | op | (3,)": "fast"}


@pytest.mark.parametrize("name", ["torch", "triton", "library"])
def test_choices_of_other_versions_are_not_taken(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "choices.json"
    autotune.run("op", (3,), CPU, CANDIDATES)
    autotune.save(path)
    content = json.loads(path.read_text())
    content["made_with"][name] = "another"
    path.write_text(json.dumps(content))
    autotune.choices.clear()
    with caplog.at_level(logging.INFO, "stylemap.ops"):
        autotune.load(path)
    assert not autotune.choices
    assert f"measured with another {name}:" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_is_wrong_or_fails_is_left_out(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    x = torch.linspace(1, 2, 64).to(dtype)

    def fails() -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("out of resources")

    def proven() -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(0.002)
        return x, x.float()

    candidates = {
        "wrong": lambda: (1.01 * x, x.float()),
        "statistics": lambda: (x, 1.1 * x.float()),
        "nan": lambda: (x / 0 - x / 0, x.float()),
        "fails": fails,
        "rounded": lambda: (x * (1 + torch.finfo(dtype).eps), x.float()),
        "proven": proven,
    }
    assert torch.equal(autotune.run("op", (1,), CPU, candidates)[1], x.float())
    assert autotune.choices == {"cpu | op | (1,)": "rounded"}
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert [name for name in candidates if any(f": {name} is left out" in line for line in warned)] == [
        "wrong", "statistics", "nan", "fails",
    ]  # fmt: skip


def test_a_choice_that_no_longer_exists_is_made_again() -> None:
    autotune.choices["cpu | op | (1, 2)"] = "gone"
    assert autotune.run("op", (1, 2), CPU, CANDIDATES) == "fast"
