"""The configuration of a run: checks, and its way through files and flags."""

from __future__ import annotations

import argparse
import builtins
import dataclasses
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from stylemap import assets
from stylemap.cli import train as command
from stylemap.config import Config
from stylemap.train import Lambdas, TrainConfig
from tests.helpers import needs
from tests.train import tiny_run


def test_through_a_file(tmp_path: Path) -> None:
    config = tiny_run.config(lambdas=Lambdas(adv=0.5), flip=False, perceptual="vgg.pth")
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == config


def test_without_pyyaml_json_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def no_yaml(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_yaml)
    path = tmp_path / "config.yaml"
    tiny_run.config().save(path)
    assert json.loads(path.read_text())["batch"] == 8
    assert TrainConfig.load(path) == tiny_run.config()
    path.write_text("batch: 8\n")
    with pytest.raises(ValueError, match=r"pip install 'stylemap\[train\]'"):
        TrainConfig.load(path)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 2.5}, "batch"),
        ({"iterations": True}, "iterations"),
        ({"precision": "fp16"}, "precision"),
        ({"adversarial_loss": "wasserstein"}, "adversarial_loss"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"ema_decay": 1.5}, "ema_decay"),
        ({"beta1": 1.0}, "beta1"),
        ({"beta2": -0.1}, "beta2"),
        ({"flip": 1}, "flip"),
        ({"data": 3}, "data"),
        ({"batch": 8, "accumulate": 3}, "accumulate|equal parts"),
        ({"fit_mapping": True}, "warmup_iterations"),
        ({"lambdas": {"adv": -1}}, "lambdas.adv"),
        ({"lambdas": {"lpips": 1}}, "lambdas.lpips"),
        ({"lambdas": {"style": 1}}, "style"),
        ({"model": {"size": 100}}, "size"),
        ({"model": {"width": 1}}, "width"),
        ({"bacth": 8}, "bacth"),
        ({"lambdas": 3}, "lambdas"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TrainConfig.from_dict(values)


@pytest.mark.parametrize("text", ["[1, 2]", "batch: [", "batch: 0", "model: {size: 3}"])
def test_bad_files_are_named(text: str, tmp_path: Path) -> None:
    needs.package("yaml")
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run\.yaml"):
        TrainConfig.load(path)


# Lists of lists that name each other: a few hundred bytes, and gigabytes where they are written out.
_BOMB = "&b [x, x, x, x, x, x, x, x, x], " + "".join(
    f"&{name} [{', '.join(9 * ['*' + inner])}], " for inner, name in zip("bcdefgh", "cdefghi")
)


@pytest.mark.parametrize(
    "name",
    ["batch", "data", "flip", "precision", "learning_rate", "lambdas.adv", "model.size", "model.lr_mul"],
)
def test_a_value_without_end_is_refused_at_once(tmp_path: Path, name: str) -> None:
    needs.package("yaml")
    path = tmp_path / "run.yaml"
    group, _, key = name.rpartition(".")
    entry = f"{key}: [{_BOMB}*i]"
    path.write_text(f"{group}: {{{entry}}}" if group else entry)
    with pytest.raises(ValueError, match=r"run\.yaml: .*" + key) as error:
        TrainConfig.load(path)
    assert len(str(error.value)) < 300 + len(str(path))


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000], ids=["large", "small", "huge"])
@pytest.mark.parametrize("name", ["batch", "learning_rate", "seed"])
def test_numbers_beyond_floats_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        TrainConfig.from_dict({name: value})


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["train", "--output", "out", *arguments])


def test_flags_override_the_file() -> None:
    args = parse(
        "--batch", "4", "--no-flip", "--size", "32", "--channel-table", "32:8,16:16", "--small-generator",
        "--lambda-adv", "0.5", "--perceptual", "vgg.pth",
    )  # fmt: skip
    config = TrainConfig.from_dict(command.merge(tiny_run.config(iterations=77).to_dict(), args))
    assert (config.iterations, config.batch, config.flip) == (77, 4, False)
    assert (config.model.size, config.model.channels(16), config.model.small_generator) == (32, 16, True)
    assert (config.lambdas.adv, config.lambdas.d, config.perceptual) == (0.5, 1.0, "vgg.pth")
    assert config.model.latent_channel_size == tiny_run.MODEL.latent_channel_size


def test_nothing_is_set_without_flags() -> None:
    found = set(vars(parse()))
    assert {name for name in found if name.partition("_")[0] != "ray"} == {
        "output",
        "config",
        "recipe",
        "resume",
    }
    assert found >= {"ray", "ray_workers"}  # where it runs is no setting of a run


def actions() -> dict[str, argparse.Action]:
    parser = argparse.ArgumentParser()
    return {action.dest: action for action in command.add_parser(parser.add_subparsers())._actions}


def test_every_setting_has_a_flag_with_a_sentence_a_default_and_its_choices() -> None:
    found = actions()
    for prefix, cls in (("", TrainConfig), ("model.", Config), ("lambdas.", Lambdas)):
        for field in dataclasses.fields(cls):
            if field.name in ("model", "lambdas"):
                continue
            action = found[prefix + field.name]
            assert action.help is not None
            assert len(action.help.split()) >= 3, action.dest
            if field.name != "channel_table":
                assert "(default: " in action.help
                assert action.help.partition(" (default")[0].endswith("."), action.help
            if prefix != "model.":
                assert tuple(action.choices or ()) == field.metadata["choices"]


@pytest.mark.parametrize("flag", ["--precision=fp16", "--batch=two", "--recipe=paper"])
def test_a_wrong_flag_is_refused_by_the_parser(flag: str) -> None:
    with pytest.raises(SystemExit):
        parse(flag)


def test_the_docstring_has_every_setting() -> None:
    documented = command.documentation(TrainConfig)
    assert {field.name for field in dataclasses.fields(TrainConfig)} == set(documented)
    assert documented["beta1"].startswith("Adam's decay of the mean gradient")


def test_a_docstring_without_indentation_says_the_same() -> None:
    stripped = type(
        "Stripped", (), {"__doc__": inspect.cleandoc(Config.__doc__ or "")}
    )  # as Python 3.13 keeps it
    indented = type("Indented", (), {"__doc__": textwrap.indent(stripped.__doc__, "    ").lstrip()})
    assert command.documentation(stripped) == command.documentation(indented) == command.documentation(Config)
    assert {field.name for field in dataclasses.fields(Config)} == set(command.documentation(Config))


@pytest.mark.parametrize("name", assets.RECIPES)
def test_a_recipe_is_a_configuration(name: str) -> None:
    needs.package("yaml")
    by_config = TrainConfig.load(assets.recipe(name))
    args = parse("--recipe", name, "--batch", "12", "--data", "photos")
    config = TrainConfig.from_dict(
        command.merge(TrainConfig.load(assets.recipe(args.recipe)).to_dict(), args)
    )
    assert config == dataclasses.replace(by_config, batch=12, data="photos")
    with pytest.raises(ValueError, match="no recipe 'paper': there are published, seed, demo"):
        assets.recipe("paper")


def test_what_the_recipes_say() -> None:
    needs.package("yaml")
    published = TrainConfig.load(assets.recipe("published"))
    assert published == dataclasses.replace(TrainConfig(), ema_rampup=False)
    seed = TrainConfig.load(assets.recipe("seed"))
    assert (seed.learning_rate, seed.beta1, seed.beta2) == (0.0002, 0.5, 0.999)
    assert (seed.reconstruction_loss, seed.adversarial_loss) == ("l1", "hinge")
    assert (seed.lambdas.perceptual, seed.lambdas.style) == (1, 1)


def test_the_bundled_configuration_is_valid() -> None:
    needs.package("yaml")
    config = TrainConfig.load(assets.recipe("demo"))
    assert config.data == "builtin:faces"
    assert config.model.size == 128


def test_generated_faces_get_the_widths_of_the_demo_model() -> None:
    demo = TrainConfig.load(assets.FOLDER / "demo.yaml")
    args = argparse.Namespace(**{"data": "faces", "model.size": 128})
    config = TrainConfig.from_dict(command.merge(command.FACES, args))
    assert config.model == demo.model
    assert config.precision == demo.precision
