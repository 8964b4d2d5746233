"""How commands may be written, what they say about what is wrong, and in which form."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylemap import edit, images
from stylemap.cli import app, completion, main, usage
from tests.helpers import needs, tiny


@pytest.fixture
def wrong(capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command that is written wrongly; its one line."""

    def call(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        assert stop.value.code == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        return captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["recontruct"],
            "stylemap: error: no command 'recontruct'; did you mean reconstruct? (see stylemap --help)",
        ),
        (["Edit"], "no command 'Edit'; did you mean edit?"),
        (["zzz"], "no command 'zzz'; there are info, reconstruct, "),
        (
            ["edit", "--refrence", "a.png"],
            "stylemap edit: error: no flag --refrence; did you mean --reference?",
        ),
        (["edit", "--orginal=a.png"], "no flag --orginal; did you mean --original?"),
        (["sample", "--seeds", "4"], "no flag --seeds; did you mean --seed?"),
        (["sample", "-x"], "no flag -x"),
        (["edit", "--mode", "blnd"], "--mode: no 'blnd'; did you mean blend?"),
        (["data", "face"], "no 'face'; did you mean faces?"),
        (["export", "onnx", "--presicion", "fp16"], "no flag --presicion; did you mean --precision?"),
        (["edit", "--s", "4"], "ambiguous option"),
    ],
)
def test_did_you_mean(wrong, arguments: list[str], hint: str) -> None:
    assert hint in wrong(*arguments)


def test_kinds_of_masks(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [
        "--original",
        str(photos / "p0.png"),
        "--reference",
        str(photos / "p1.png"),
        "--model",
        model_file,
    ]
    assert main(["edit", *pair, "--mask", "elipse:0.5,0.5,0.1,0.1", "-o", str(tmp_path / "a.png")]) == 1
    assert "no kind of mask is called 'elipse'; did you mean ellipse?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _parser() -> usage.Parser:
    parser = usage.Parser(prog="p")
    parser.add_argument("plain", nargs="*")
    parser.add_argument("-o", "--output")
    parser.add_argument("--shift", action="append")
    parser.add_argument("--many", nargs="+", default=[])
    parser.add_argument("--flag", action="store_true")
    return parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "--shift", "-8,4", "b"], {"plain": ["a", "b"], "shift": ["-8,4"]}),
        (["--shift", "-.5,1", "--shift=-2", "a"], {"plain": ["a"], "shift": ["-.5,1", "-2"]}),
        (["-o", "x", "a", "--flag", "b"], {"plain": ["a", "b"], "output": "x", "flag": True}),
        (["-ox", "a"], {"plain": ["a"], "output": "x"}),
        (["--out", "x", "a"], {"plain": ["a"], "output": "x"}),
        (["a", "--many", "-1", "2", "--flag"], {"plain": ["a"], "many": ["-1", "2"], "flag": True}),
        (["--flag", "--", "-a", "b"], {"plain": ["./-a", "b"], "flag": True}),
        (["-", "--shift", "-", "-o", "./-"], {"plain": ["-"], "shift": ["-"], "output": "./-"}),
    ],
)
def test_any_order_and_values_with_a_minus(words: list[str], expected: dict[str, object]) -> None:
    found = vars(_parser().parse_args(words))
    assert found == {
        **vars(argparse.Namespace(plain=[], output=None, shift=None, many=[], flag=False)),
        **expected,
    }


def test_a_flag_is_no_value() -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["--output", "--flag"])


def test_shifts_and_strengths_below_zero(model_file: str, photos: Path, tmp_path: Path) -> None:
    pair = [
        "--original",
        str(photos / "p0.png"),
        "--reference",
        str(photos / "p1.png"),
        "--mask",
        "box:0,0,0.5,1",
    ]
    model = ["--model", model_file]
    assert main(["edit", *pair, *model, "--shift", "-8,4", "-o", str(tmp_path / "a.png"), "--no-sheet"]) == 0
    with torch.no_grad():
        w = tiny.model().encode([photos / "p0.png", photos / "p1.png"])
        expected = edit.blend(tiny.model(), w[:1], [w[1:]], ["box:0,0,0.5,1"], (-8, 4))
    found = images.load(tmp_path / "a.png", tiny.SIZE)
    assert float((found - expected[0].clamp(-1, 1)).abs().max()) < 2.5 / 127.5


VOCABULARY = {
    "reconstruct": "--model --original --output -o",
    "sample": "--model --output -o",
    "interpolate": "--model --original --reference --output -o",
    "edit": "--model --original --reference --output -o",
    "mix": "--model --original --reference --output -o",
    "transplant": "--model --original --reference --output -o",
    "manipulate": "--model --original --output -o",
    "direction": "--model --output -o",
    "invert": "--model --original --output -o",
    "convert": "--model --output -o",
    "data faces": "--output -o",
    "data lmdb": "--output -o",
    "train": "--output -o",
    "evaluate": "--model --output -o",
    "export onnx": "--model --output -o",
    "export tensorrt": "--model --output -o",
    "edit-server": "--model",
    "info": "--model",
    "bench": "--output -o",
    "bench report": "--output -o",
}


def _leaves(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {one.prog.removeprefix("stylemap").strip(): one for one in completion.parsers(parser)}


def test_one_vocabulary() -> None:
    leaves = _leaves(app.build_parser())
    for command, flags in VOCABULARY.items():
        known = {flag for action in leaves[command]._actions for flag in action.option_strings}
        assert set(flags.split()) <= known, command
    for command, parser in leaves.items():
        if command:
            known = {flag for action in parser._actions for flag in action.option_strings}
            assert {"--quiet", "--json", "--debug"} <= known, command
            assert ("--output" in known) == ("-o" in known), command


def test_old_and_new_spellings_do_the_same(model_file: str, photos: Path, tmp_path: Path) -> None:
    a, b, model = str(photos / "p0.png"), str(photos / "p1.png"), ["--model", model_file, "--no-sheet"]
    for command, old, new in (
        ("reconstruct", [a], ["--original", a]),
        ("mix", [a, b], ["--reference", b, "--original", a]),
        ("mix", [a, b], ["--reference", b, a]),
        ("interpolate", [a, b, "--frames", "2"], ["--original", a, "--reference", b, "--frames", "2"]),
    ):
        for name, arguments in (("old", old), ("new", new)):
            assert main([command, *arguments, "-o", str(tmp_path / name), *model]) == 0
        for file in (tmp_path / "old").iterdir():
            assert file.read_bytes() == (tmp_path / "new" / file.name).read_bytes()
    for name, arguments in (("c1.pt", [model_file]), ("c2.pt", ["--model", model_file])):
        flag = [] if name == "c1.pt" else ["-o"]
        assert main(["convert", *arguments, *flag, str(tmp_path / name)]) == 0
    with torch.no_grad():
        assert (tmp_path / "c1.pt").stat().st_size == (tmp_path / "c2.pt").stat().st_size


@pytest.mark.parametrize(
    ("command", "old"),
    [("convert", "files"), ("export onnx", "checkpoint"), ("export tensorrt", "checkpoint")],
)
def test_old_spellings_are_shown_nowhere(command: str, old: str) -> None:
    """They are accepted; help and completion offer the flags of all commands."""
    parser = _leaves(app.build_parser())[command]
    action = next(one for one in parser._actions if one.dest == old)
    assert action.help == argparse.SUPPRESS
    shown = parser.format_help()
    assert "positional" not in shown
    assert not re.search(r"CHECKPOINT|\[FILE", shown)
    assert "--model FILE" in shown
    needs.package("shtab")
    assert not re.search(r"\bCHECKPOINT\b", completion.script(app.build_parser(), "zsh"))


def test_files_that_are_missing_or_too_many(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["convert", "--model", model_file], "two files are needed: --model FILE --output FILE"),
        (["convert", "--model", "a", "b", "c"], "c is one more"),
        (["reconstruct", "-o", "x"], "no photo: name image files or folders"),
        (["export", "onnx", "a.pt", "--model", "b.pt", "-o", "x"], "two models: --model b.pt and a.pt"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err


def test_quiet(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["reconstruct", str(photos), "--model", model_file, "-o", str(tmp_path)]
    assert main([*arguments, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert main([*arguments, "--overwrite"]) == 0
    assert "wrote" in capsys.readouterr().out


def test_json(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def facts(*arguments: object) -> dict[str, object]:
        assert main([*map(str, arguments), "--json"]) == 0
        captured = capsys.readouterr()
        assert "reconstruct: " not in captured.err
        return json.loads(captured.out)  # one object, nothing beside it

    found = facts("reconstruct", photos, "--model", model_file, "-o", tmp_path)
    files = [str(tmp_path / f"p{index}.png") for index in range(4)]
    assert found == {
        "command": "reconstruct",
        "images": files,
        "errors": found["errors"],
        "output": str(tmp_path),
        "sheet": str(tmp_path / "sheet.png"),
    }
    with torch.no_grad():
        photo = images.load(photos / "p0.png", tiny.SIZE)
        error = float((edit.reconstruct(tiny.model(), photo[None])[0] - photo).square().mean())
    assert found["errors"][0] == pytest.approx(error, rel=1e-4)
    assert facts("info", "--model", model_file)["model"]["size"] == str(tiny.SIZE)
    Image.new("L", (tiny.SIZE, tiny.SIZE)).save(tmp_path / "black.png")
    pair = [
        "--original",
        photos / "p0.png",
        "--reference",
        photos / "p1.png",
        "--mask",
        tmp_path / "black.png",
    ]
    (warning,) = facts("edit", *pair, "--model", model_file, "-o", tmp_path / "e.png")["warnings"]
    assert "black.png selects nothing" in warning
    assert main(["reconstruct", "missing.png", "-o", "x", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "command": "reconstruct",
        "error": "no such file or folder: missing.png",
    }
    assert "error: no such file" in captured.err


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs.package("shtab")
    with pytest.raises(SystemExit) as stop:
        main(["--print-completion", shell])
    assert stop.value.code == 0
    script = capsys.readouterr().out
    for word in ("reconstruct", "edit-server", "--reference", "--print-completion"):
        assert word.lstrip("-") in script


def test_completion_without_shtab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylemap: error: shell completion needs shtab: ")
    assert line.endswith("pip install 'stylemap[completion]'")


@pytest.mark.parametrize(
    "words",
    [
        ["reconstruct", "", "--output", "o"],
        ["reconstruct", "a.png", "--output="],
        ["reconstruct", "a.png", "-o", ""],
        ["mix", "", "seed:1", "-o", "o"],
        ["edit", "--original=", "--reference", "a.png", "--mask", "box:0,0,1,1", "-o", "o"],
    ],
)
def test_an_empty_path_is_not_this_folder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected a path, got an empty text" in line


@pytest.mark.parametrize("flag", ["--mask", "--model", "--crop"])
def test_an_empty_value_is_none(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", "--original", "a.png", "--reference", "b.png", "--mask", "box:0,0,1,1", "-o", "o"]
    with pytest.raises(SystemExit) as stop:
        main([*words, flag, ""])
    assert stop.value.code == 2
    assert f"argument {flag}: expected a value, got an empty text" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "4097", "0" * 9 + "9999", "9" * 5000, "", "AUTO"])
def test_numbers_of_replicas(wrong, value: str) -> None:
    line = wrong("serve", f"--replicas={value}")
    assert f"argument --replicas: expected auto, or a number from 0 to 4096, got {value!r}"[:120] in line


def test_a_number_of_replicas_with_zeros_before_it() -> None:
    args = app.build_parser().parse_args(["serve", "--replicas", "0" * 5000 + "2"])
    assert args.replicas == 2


@pytest.mark.parametrize("value", ["1", "a,b", "1,2,3", "0.5,0", "99999999999999999999,0", "0,-1000001", ""])
def test_shifts_that_are_none(wrong, value: str) -> None:
    line = wrong("edit", "--original", "a", "--reference", "b", "-o", "c", f"--shift={value}")
    assert "argument --shift: expected " in line
    assert "DX,DY" in line
