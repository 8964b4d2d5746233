"""What may be in a checkpoint's pickle: harmless objects of any protocol load, anything else is refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import os
import pathlib
import pickle
import struct
import time
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stylemap.checkpoint import CheckpointError, load, load_state, notes, torch_file
from tests.helpers import small
from tests.helpers.refusal import refused, saved

Content = dict[str, Any]


def harmless(values: Content) -> Content:
    """What training scripts leave beside their settings."""
    return {
        **{key: np.int64(value) if type(value) is int else value for key, value in values.items()},
        "lr": np.float32(0.5),
        "fast": np.bool_(True),
        "name": np.str_("größe"),
        "big": np.dtype(">f8").type(2.0),
        "out": pathlib.PurePosixPath("/runs/a"),
        "windows": pathlib.PureWindowsPath("c:/runs/a"),
        "gpus": {0, 1},
        "frozen": frozenset({"a"}),
        "counts": collections.defaultdict(list, {"a": [1]}),
        "counter": collections.Counter("ab"),
        "ordered": collections.OrderedDict(a=1),
        "recent": collections.deque([1, 2], 5),
        "factory": collections.defaultdict(os.getcwd),
        "type": int,
        "nested": types.SimpleNamespace(a=argparse.Namespace(b=1)),
        "table": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "random": np.random.RandomState(0).get_state(),
        "begun": datetime.datetime(2020, 1, 2),
        "took": datetime.timedelta(1),
        "steps": range(3),
        "bytes": b"\xff",
        "array": bytearray(b"\xff"),
        "z": 1j,
        "device": torch.device("cuda", 0),
        "shape": torch.Size([1, 2]),
        "dtype": torch.bfloat16,
        "tensor": torch.arange(4).to(torch.uint16),
        "missing": None,
        "self": 1,
        "__class__": "x",
    }


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["dict", "namespace"])
def test_harmless_objects_load(tmp_path: Path, content: Content, protocol: int, kind: str) -> None:
    values = harmless(vars(content["train_args"]))
    arguments: Any = values
    if kind == "namespace":
        arguments = argparse.Namespace()
        vars(arguments).update(values)
    parts = {
        "g_ema": collections.OrderedDict((k, nn.Parameter(t)) for k, t in content["g_ema"].items()),
        "e_ema": {k: nn.Buffer(t, persistent=False) for k, t in content["e_ema"].items()},
    }
    parts["g_ema"]._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    path = tmp_path / "a.pt"
    torch.save({**content, **parts, "train_args": arguments}, path, pickle_protocol=protocol)
    loaded = load(path)
    assert loaded.config == small.model().config
    expected = small.model().state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.state_dict().items())
    kept = notes(path)
    assert (kept["lr"], kept["fast"], kept["name"], kept["big"]) == (0.5, True, "größe", 2.0)
    assert (kept["out"], kept["windows"]) == ("/runs/a", "c:\\runs\\a")
    assert kept["recent"] == [1, 2]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_of_before_1_6_in_any_protocol(tmp_path: Path, content: Content, protocol: int) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    assert load(path).config == small.model().config


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, content: Content, zipped: bool) -> None:
    path = tmp_path / "a.safetensors"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert load(path).config == small.model().config


def test_nothing_in_a_file_is_said(tmp_path: Path) -> None:
    assert refused(saved(tmp_path / "a.pt", {})).endswith("; it holds nothing")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_values_are_those_of_torch_load(tmp_path: Path, content: Content, zipped: bool) -> None:
    network = nn.Linear(3, 4)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    everything = {**content, "g_optim": optimizer.state_dict(), "view": torch.arange(12.0).view(3, 4).T[1:]}
    everything |= {name: everything["view"].to(getattr(torch, name)) for name in ("bool", "int8", "bfloat16")}
    path = tmp_path / "a.pt"
    torch.save(everything, path, _use_new_zipfile_serialization=zipped)
    read = torch_file.read_content(path)
    expected = torch.load(path, weights_only=False)
    assert list(read) == list(expected)
    for name in ("view", "bool", "int8", "bfloat16"):
        assert torch.equal(read[name], expected[name])
        assert read[name].stride() == expected[name].stride()
    state = read["g_optim"]["state"][0]
    assert torch.equal(state["exp_avg"], expected["g_optim"]["state"][0]["exp_avg"])
    again = torch.optim.Adam(network.parameters())
    again.load_state_dict(read["g_optim"])
    assert read["generator"].keys() == expected["generator"].keys()
    pairs = [(read["generator"][key], read["g_ema"][key]) for key in read["generator"]]
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)  # stored once


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.tensor([1.0, 2.0])})
    changed = tmp_path / "b.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            new.writestr(name, struct.pack(">2f", 1, 2) if name.endswith("data/0") else data)
    assert torch_file.read_content(changed)["a"].tolist() == [1.0, 2.0]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


SYSTEM, TOUCH = b"cposix\nsystem\n", text("touch run")
STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
BOMB = b"(K\x01t" + b"2\x86" * 60
NAMESPACE = b"cargparse\nNamespace\n)\x81"


def number(value: int) -> bytes:
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + data


def tensor(offset: int, size: tuple[int, ...], stride: tuple[int, ...], storage: bytes = STORAGE) -> bytes:
    sizes, strides = (b"(" + b"".join(map(number, one)) + b"t" for one in (size, stride))
    return call("torch._utils", "_rebuild_tensor_v2", storage, number(offset), sizes, strides, b"\x89", b"}")


def array(kind: str, shape: int, data: bytes) -> bytes:
    made = call("numpy", "dtype", text(kind), b"\x89\x88")
    raw = b"B" + struct.pack("<I", len(data)) + data
    return call("numpy._core.numeric", "_frombuffer", raw, made, number(shape), text("C"))


HOSTILE = {
    "reduce": SYSTEM + TOUCH + b"\x85R",
    "stack-global": text("posix") + text("system") + b"\x93" + TOUCH + b"\x85R",
    "inst": b"(" + TOUCH + b"iposix\nsystem\n",
    "obj": b"(" + SYSTEM + TOUCH + b"o",
    "newobj": b"csubprocess\nPopen\n" + TOUCH + b"\x85\x81",
    "newobj-ex": b"csubprocess\nPopen\n" + TOUCH + b"\x85}\x92",
    "newobj-ex-keywords": b"cargparse\nNamespace\n)}" + text("a") + b"K\x01s\x92",
    "copyreg": call("copyreg", "__newobj__", SYSTEM, TOUCH),
    "reconstructor": call("copyreg", "_reconstructor", SYSTEM, b"c__builtin__\nobject\n", b"N"),
    "eval": call("__builtin__", "eval", text("1")),
    "getattr": call("__builtin__", "getattr", SYSTEM, text("__call__")),
    "partial": call("functools", "partial", SYSTEM, TOUCH),
    "torch-load": call("torch.storage", "_load_from_bytes", b"C\x01x"),
    "rebuild-by-system": call(
        "torch._tensor", "_rebuild_from_type_v2", SYSTEM, SYSTEM, TOUCH + b"\x85", b"}"
    ),
    "call-of-an-attribute": NAMESPACE + b"}" + text("x") + SYSTEM + b"sb" + TOUCH + b"\x85R",
    "build-a-name": b"ccollections\nOrderedDict\n}" + text("x") + b"K\x01sb",
    "build-a-name-by-slots": b"ccollections\nOrderedDict\nN}" + text("x") + b"K\x01s\x86b",
    "build-an-unknown-name": SYSTEM + b"}" + text("__setstate__") + SYSTEM + b"sb",
    "build-a-list": b"]}b",
    "build-a-tensor": tensor(0, (4,), (1,)) + b"(" + STORAGE + number(2**60) + b"K\x04\x85K\x01\x85tb",
    "set-into-a-tensor": tensor(0, (4,), (1,)) + b"K\x00K\x01s",
    "append-to-a-namespace": NAMESPACE + b"}" + text("append") + SYSTEM + b"sb" + TOUCH + b"a",
    "extension": b"\x82\x01",
    "persistent-text": b"Pmodule\n",
    "persistent-module": b"(" + text("module") + SYSTEM + text("0") + text("cpu") + b"K\x04tQ",
    "persistent-system": b"(" + text("storage") + SYSTEM + text("0") + text("cpu") + b"K\x04tQ",
    "storage-missing": STORAGE.replace(text("0"), text("9")),
    "storage-elsewhere": STORAGE.replace(text("0"), text("../data.pkl")),
    "storage-too-long": STORAGE.replace(b"K\x04tQ", number(2**61) + b"tQ"),
    "storage-negative": STORAGE.replace(b"K\x04tQ", number(-1) + b"tQ"),
    "storage-of-another-type": STORAGE + STORAGE.replace(b"FloatStorage", b"DoubleStorage") + b"\x86",
    "tensor-beyond": tensor(1, (4,), (1,)),
    "tensor-stride-beyond": tensor(0, (2, 2), (3, 1)),
    "tensor-negative-stride": tensor(3, (4,), (-1,)),
    "tensor-negative-offset": tensor(-1, (1,), (1,)),
    "tensor-negative-size": tensor(0, (-1,), (1,)),
    "tensor-huge": tensor(0, (2**40, 2**40), (0, 0)),
    "tensor-overflow": tensor(0, (2**62, 2**62, 16), (2**62, 2**62, 2**62)),
    "tensor-of-a-text": call("torch._utils", "_rebuild_tensor_v2", TOUCH, b"K\x00)))}"),
    "numpy-object": array("O8", 1, bytes(8)),
    "numpy-void": array("V8", 1, bytes(8)),
    "numpy-structure": array("f4,f4", 1, bytes(8)),
    "numpy-length": array("f8", 2**60, bytes(8)),
    "numpy-nothing": array("S0", 2**60, b""),
    "bytearray": call("__builtin__", "bytearray", number(2**40)),
    "bytes": call("__builtin__", "bytes", number(2**40)),
    "encode": call("_codecs", "encode", TOUCH, text("zip")),
    "device": call("torch", "device", text("../x")),
    "key-bomb": b"}" + BOMB + b"K\x01s",
    "key-bomb-dict": b"(" + BOMB + b"K\x01d",
    "key-bomb-set": b"\x8f(" + BOMB + b"\x90",
    "key-bomb-frozen": b"(" + BOMB + b"\x91",
    "key-of-a-tensor": b"}" + tensor(0, (4,), (1,)) + b"K\x01s",
    "key-of-many-bits": b"}\x8b" + struct.pack("<I", 4000) + b"\x7f" * 4000 + b"K\x01s",
}
DAMAGED = {
    "bytearray-claim": b"\x96" + struct.pack("<Q", 2**40),
    "text-claim": b"\x8d" + struct.pack("<Q", 2**40),
    "bytes-claim": b"\x8e" + struct.pack("<Q", 2**40),
    "number-claim": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "number-negative": b"\x8b" + struct.pack("<i", -5),
    "number-text": b"I" + b"9" * 100_000 + b"\n",
    "memo-missing": b"j\xff\xff\xff\xff",
    "buffer": b"\x97",
    "empty-stack": b"R",
    "no-mark": b"t",
    "odd-items": b"}(K\x01u",
    "protocol": b"\x80\xff",
    "unknown": b"\xff",
}
NOT_A_CHECKPOINT = {
    "value-bomb": BOMB,
    "deep": b"]" * 100_000 + b"a" * 99_999,
    "deep-tuples": b")" + b"\x85" * 100_000,
    "frame-claim": b"\x95" + struct.pack("<Q", 2**40) + b"N",
    "memo-far": b"]r\xff\xff\xff\xff",
    "list-in-itself": b"]q\x00h\x00a",
    "factory-system": call("collections", "defaultdict", SYSTEM),
}


def packed(path: Path, body: bytes) -> Path:
    """A zip archive with that pickle and one storage of four floats."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
    return path


def refused_quickly(path: Path) -> str:
    begin = time.process_time()
    message = refused(path)
    assert time.process_time() - begin < 5
    assert not Path("run").exists()
    return message


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused_quickly(packed(tmp_path / "a.pt", HOSTILE[name]))
    assert message.startswith(("refused, it asks to run or build ", "damaged or truncated ("))


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles(tmp_path: Path, name: str) -> None:
    assert refused_quickly(packed(tmp_path / "a.pt", DAMAGED[name])).startswith("damaged")


@pytest.mark.parametrize("name", NOT_A_CHECKPOINT)
def test_pickles_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused_quickly(packed(tmp_path / "a.pt", NOT_A_CHECKPOINT[name]))
    assert message.startswith(("holds no checkpoint but an object of type", "no g_ema"))


def test_one_file_does_not_change_the_next(tmp_path: Path, content: Content) -> None:
    """What a hostile pickle tries to set on the functions that build values is not there afterwards."""
    for name in ("build-a-name", "build-a-name-by-slots", "build-an-unknown-name"):
        refused(packed(tmp_path / "a.pt", HOSTILE[name]))
    load(saved(tmp_path / "b.pt", content))


def test_programs_of_torchscript_are_refused(tmp_path: Path) -> None:
    class Doubles(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.trace(Doubles(), torch.ones(2)), str(path))
    assert "__torch__" in refused(path) or "compressed" in refused(path)


def test_storages_that_two_names_share(tmp_path: Path) -> None:
    """The same bytes under two types are two views; neither goes beyond them."""
    other = STORAGE.replace(b"FloatStorage", b"IntStorage")
    pair = tensor(0, (4,), (1,)) + tensor(0, (2, 9), (1, 0), other) + b"\x86"
    first, second = torch_file.read_content(packed(tmp_path / "a.pt", pair))
    assert first.tolist() == [1, 2, 3, 4]
    assert second[:, 0].tolist() == np.array([1, 2], np.float32).view(np.int32).tolist()


@pytest.mark.parametrize("keys", [["0", "0"], [("0",)], [], ["1"], "0", None])
def test_legacy_storages(tmp_path: Path, keys: object) -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(4)}, file, _use_new_zipfile_serialization=False)
    data = file.getvalue()
    place = data.index(pickle.dumps([1], 2)[:3], 100)  # the last pickle: the keys
    path = tmp_path / "a.pt"
    end = data.index(b".", data.index(b"]q", place)) + 1
    path.write_bytes(data[:place] + pickle.dumps(keys, 2) + data[end:])
    with pytest.raises(CheckpointError, match=r"a\.pt: damaged"):
        torch_file.read_content(path)


def test_optimizers_are_written_again(tmp_path: Path, content: Content) -> None:
    from stylemap.checkpoint import convert

    path = saved(tmp_path / "a.pt", {**content, "g_optim": {"state": {0: {"step": torch.tensor(3.0)}}}})
    convert(path, tmp_path / "b.pt")
    assert load_state(tmp_path / "b.pt").optimizers["g_optim"]["state"][0]["step"] == 3
