"""Every numeric option of every command, taken from the parsers: values that mean nothing are one line."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from stylemap.cli import app, completion, main

BASE = {
    "reconstruct": "IMAGE --output OUT/a.png",
    "sample": "--count 1 --output OUT",
    "interpolate": "IMAGE IMAGE --frames 2 --output OUT",
    "edit": "--original IMAGE --reference IMAGE --mask box:0,0,1,0.5 --output OUT",
    "mix": "IMAGE IMAGE --output OUT",
    "invert": "IMAGE --steps 1 --perceptual-weight 0 --output OUT",
    "data faces": "--size 16 --count 1 --output OUT",
    "data lmdb": "PHOTOS --sizes 16 --output OUT/x.lmdb",
    "bulk encode": "PHOTOS --output OUT",
    "edit-server": "",
}
# By values that are refused before any work: the flags.
REFUSED = {
    ("-1", "0"): "--count --frames --chunk --batch --workers --threads --fps --size",
    ("-1",): "--refine --steps --w-steps --port --cache",
    (
        "1000000000000",
    ): "--count --frames --chunk --batch --refine --steps --w-steps --workers --threads --size "
    "--quality --port --cache",
}


def _numeric() -> list[tuple[argparse.ArgumentParser, str, str]]:
    """The parser, the name of the command, and the flag of every option that takes a number."""
    (commands,) = (a for a in app.build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return [
        (part, part.prog.removeprefix("stylemap "), max(action.option_strings, key=len))
        for command in commands.choices.values()
        for part in completion.parsers(command)
        for action in part._actions
        if action.type in (int, float) and action.option_strings
    ]


def test_no_option_takes_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    found = _numeric()
    assert len(found) > 80
    for parser, _, flag in found:
        for value in ("nan", "-inf", "1e999", "1" + 400 * "0", "x", ""):
            with pytest.raises(SystemExit) as stop:
                parser.parse_args([f"{flag}={value}"])
            (line,) = capsys.readouterr().err.splitlines()
            assert stop.value.code == 2
            assert flag in line
            assert len(line) < 600


def _cases() -> list[tuple[str, str, str]]:
    return [
        (name, flag, value)
        for _, name, flag in _numeric()
        if name in BASE
        for values, flags in REFUSED.items()
        if flag in flags.split()
        for value in values
    ]


@pytest.mark.parametrize(("command", "flag", "value"), _cases(), ids=lambda part: str(part)[:14])
def test_numbers_that_mean_nothing(
    model_file: str, photos: Path, tmp_path: Path, command: str, flag: str, value: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    np.savez(out / "d.npz", vector=np.ones((8, 8, 8), np.float32))
    places = {"IMAGE": photos / "p0.png", "PHOTOS": photos, "OUT": out}
    words = BASE[command]
    for place, path in places.items():
        words = words.replace(place, str(path))
    given = [*command.split(), *words.split(), f"{flag}={value}"]
    if not command.startswith("data"):
        given += ["--model", model_file, "--device", "cpu"]
    try:
        status = main(given)
    except SystemExit as stop:
        status = stop.code  # type: ignore[assignment]
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert status in (1, 2)
    assert f"stylemap {command.split()[0]}" in line
    assert ": error: " in line
    assert "a fault of stylemap" not in line
    assert len(line) < 300 + len(str(tmp_path))
    assert [path.name for path in out.iterdir()] == ["d.npz"]
