"""Every numeric option of every command, taken from the parsers: values that mean nothing are one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylemap.cli import app, completion, main

BASE = {
    "info": "",
    "reconstruct": "IMAGE --output OUT/a.png",
    "sample": "--count 1 --output OUT",
    "interpolate": "IMAGE IMAGE --frames 2 --output OUT",
    "edit": "--original IMAGE --reference IMAGE --mask box:0,0,1,0.5 --output OUT",
    "mix": "IMAGE IMAGE --output OUT",
    "transplant": "--original IMAGE --reference IMAGE --box 0,0,0,0,1,1 --output OUT",
    "manipulate": "IMAGE --map IMAGE --output OUT",
    "invert": "IMAGE --steps 1 --perceptual-weight 0 --output OUT",
    "direction": "--faces smile --count 2 --output OUT/x.safetensors",
    "data faces": "--size 16 --count 1 --output OUT",
    "data lmdb": "PHOTOS --sizes 16 --output OUT/x.lmdb",
    "bulk encode": "PHOTOS --output OUT",
    "bulk edit": "PHOTOS --reference IMAGE --mask box:0,0,1,1 --output OUT",
    "bulk manipulate": "PHOTOS --direction smile --output OUT",
    "train": "--output OUT --ray local",
    "evaluate": "--data PHOTOS --count 2 --samples 2",
    "export onnx": "--output OUT",
    "export tensorrt": "--output OUT",
    "edit-server": "",
    "serve": "--replicas 0",
    "bench": "--output OUT --quick",
    "bench edit": "--output OUT --quick",
    "bench compare": "IMAGE IMAGE",
}
_SIGNED = "truncation weight strength".split()  # 0 and less mean something
_ANY = "seed"  # is never too large
# Flags for which 0 is no value either, in every command that has them.
_ABOVE_ZERO = """
count frames chunk fps size samples fit cost opset max-batch best-batch max-references ray-workers ray-cpus
mapping-images iterations accumulate r1-every log-every checkpoint-every keep latent-channel-size
latent-spatial-size channel-multiplier mapping-layer-num lr-mul token-rate token-jobs deadline photos-mib
""".split()
_ABOVE_ZERO_IN = {
    "threads": ("bulk encode", "edit-server", "serve"),
    "batch": ("bulk encode", "train", "evaluate"),
    "workers": ("bulk encode", "data lmdb"),
    "quality": ("data lmdb",),
}
_SAME = {"bulk edit": "bulk encode", "bulk manipulate": "bulk encode", "bench edit": "bench"}


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
    """Every flag of the commands in BASE, the flags that several share once, with what each must refuse."""
    numeric = [(name, flag.removeprefix("--")) for _, name, flag in _numeric()]
    assert {name.split()[0] for name, _ in numeric} == {name.split()[0] for name in BASE}
    found = []
    for name, flag in numeric:
        if name not in BASE or (_SAME.get(name), flag) in numeric:
            continue
        values = [] if flag in _SIGNED else ["-1"]
        values += ["0"] if flag in _ABOVE_ZERO or name in _ABOVE_ZERO_IN.get(flag, ()) else []
        values += [] if flag == _ANY else ["1000000000000"]
        found += [(name, flag, value) for value in values]
    return found


@pytest.fixture(scope="module")
def one_parser() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        parser = app.build_parser()
        patch.setattr(app, "build_parser", lambda: parser)
        yield


@pytest.mark.parametrize(("command", "flag", "value"), _cases(), ids=lambda part: str(part)[:14])
def test_numbers_that_mean_nothing(
    model_file: str, photos: Path, tmp_path: Path, command: str, flag: str, value: str,
    capsys: pytest.CaptureFixture[str], one_parser: None,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    places = {"IMAGE": photos / "p0.png", "PHOTOS": photos, "OUT": out}
    words = BASE[command]
    for place, path in places.items():
        words = words.replace(place, str(path))
    given = [*command.split(), *words.split(), f"--{flag}={value}"]
    if command.split()[0] not in ("data", "train", "bench"):
        given += ["--model", model_file]
    try:
        status = main(given)
    except SystemExit as stop:
        status = stop.code  # type: ignore[assignment]
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert status in (1, 2)
    assert f"stylemap {command.split()[0]}" in line
    assert ": error: " in line
    assert flag in line.replace("_", "-").replace("lambdas.", "lambda-")
    assert "a fault of stylemap" not in line
    assert len(line) < 300 + len(str(tmp_path))
    assert list(out.iterdir()) == []
