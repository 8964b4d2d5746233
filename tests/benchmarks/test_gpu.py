"""The steps of the GPU check, and its measurements on a CPU at sizes of no interest."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from stylemap.benchmarks import truth
from stylemap.benchmarks.gpu import check, fused_cudnn, operators, rehearsal, steps
from stylemap.benchmarks.gpu.__main__ import main
from stylemap.benchmarks.gpu.cases import Case
from stylemap.benchmarks.gpu.steps import Context, Step
from stylemap.benchmarks.timing import Clock
from stylemap.cli.app import build_parser
from tests.cuda.sass import build

CPU = ["--device", "cpu", "--tiny"]


def test_operators_run_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "operators.json"
    assert main(["operators", *CPU, "--output", str(output)]) == 0
    content = json.loads(output.read_text())
    assert content["skipped"] == 0
    assert content["peaks"]["copy_gbps"] > 0
    for row in content["rows"]:
        assert "failure" not in row, row
        assert {c["status"] for c in row["candidates"].values()} == {"graph"}, row
        assert all(c["ms"] > 0 for c in row["candidates"].values())
    assert "| modulate_conv" in capsys.readouterr().out


def test_measurements_out_of_time_say_so(tmp_path: Path) -> None:
    output = tmp_path / "operators.json"
    main(["operators", *CPU, "--seconds", "0", "--output", str(output)])
    content = json.loads(output.read_text())
    assert content["rows"] == []
    assert content["skipped"] > 10


def test_plan_runs_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plan.json"
    assert main(["plan", *CPU, "--output", str(output)]) == 0
    model = json.loads(output.read_text())["models"]["tiny"]
    assert "failure" not in model, model
    assert set(model["rows"]) == set(model["layers"]) == {"decode", "edit", "encode"}
    for name, row in model["rows"].items():
        assert row["replay"] > 0
        assert row["speedup"] > 0
        assert model["layers"][name]
    assert model["rows"]["edit"]["stroke"] > 0
    assert model["rows"]["decode"]["rival_error"] < 1e-5
    passes = [row["pass"].split()[0] for row in model["layers"]["decode"]]
    assert passes.count("modulate_conv") > 2
    assert "| tiny | edit |" in capsys.readouterr().out


def test_wrong_plans_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(truth.TOLERANCE, "fp32", 0.0)
    main(["plan", *CPU, "--output", str(tmp_path / "plan.json")])
    found = {"status": "passed", **json.loads((tmp_path / "plan.json").read_text())}
    assert "rows" not in found["models"]["tiny"]
    monkeypatch.setattr(Context, "measurement", lambda *_, **__: found)
    assert check.plan(context(tmp_path))["problems"] == ["tiny: wrong: decode, edit, encode"]


def test_a_plan_out_of_time_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late: dict[str, Any] = {"status": "not finished in 90 s", "models": {"a": {"rows": {}}}}
    monkeypatch.setattr(Context, "measurement", lambda *_, **__: dict(late))
    assert check.plan(context(tmp_path))["status"] == "passed"
    late["models"] = {}
    assert check.plan(context(tmp_path))["status"] == "not finished in 90 s"


def test_wrong_results_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(4)
    case = Case("c", {"ours": lambda: x + 1, "eager": lambda: x}, 1, 0, torch.float32, expected=lambda: x)
    row = operators.measure(case, Clock(torch.device("cpu")), {"copy_gbps": 1.0})
    assert row["candidates"]["ours"]["status"] == "wrong"
    assert "ms" not in row["candidates"]["ours"]
    assert not row["met"]
    monkeypatch.setattr(Context, "measurement", lambda *_, **__: {"status": "passed", "rows": [row]})
    assert check.operators(context(tmp_path))["problems"] == ["c: wrong: ours"]


class Port:
    """A tensor of a graph that is being built."""

    def __init__(self, name: str) -> None:
        self.name = name

    def set_output(self, on: bool) -> Port:
        return self

    def set_data_type(self, kind: str) -> Port:
        return self


class FakeGraph:
    """A stand-in for `cudnn.pygraph`: runs what was built on the tensors it is given."""

    def __init__(self, **kinds: str) -> None:
        self.kinds, self.built = kinds, False

    def tensor(self, name: str, dim: list[int], stride: list[int], data_type: str) -> Any:
        return Port(name)

    def conv_fprop(self, **arguments: Any) -> Any:
        self.conv = arguments
        return Port("conv")

    def bias(self, input: Any, bias: Any) -> Any:
        self.shift = bias
        return Port("shifted")

    def leaky_relu(self, input: Any, negative_slope: float) -> Any:
        self.slope = negative_slope
        return Port("out")

    def build(self, heuristics: list[str]) -> None:
        self.built = True

    def get_workspace_size(self) -> int:
        return 0

    def execute(self, buffers: dict[Any, torch.Tensor], workspace: torch.Tensor, handle: object) -> None:
        assert self.built
        by_name = {port.name: tensor for port, tensor in buffers.items()}
        conv = {k: self.conv[k] for k in ("padding", "stride", "dilation")}
        y = F.conv2d(by_name[self.conv["image"].name], by_name[self.conv["weight"].name], None, **conv)
        by_name["out"].copy_(F.leaky_relu(y + by_name[self.shift.name], self.slope))


def test_fused_cudnn_makes_its_graph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = torch.randn(1, 8, 5, 4).half(), torch.randn(16, 8, 3, 3).half()
    bias = torch.randn(16).half()
    graphs: list[FakeGraph] = []

    def pygraph(**kinds: str) -> FakeGraph:
        graphs.append(FakeGraph(**kinds))
        return graphs[-1]

    module = SimpleNamespace(
        pygraph=pygraph,
        data_type=SimpleNamespace(HALF="half", BFLOAT16="bfloat16", FLOAT="float"),
        heur_mode=SimpleNamespace(A="a", FALLBACK="fallback"),
        create_handle=object,
        set_stream=lambda **_: None,
    )
    monkeypatch.setattr(fused_cudnn.importlib.util, "find_spec", lambda name: None)
    late = fused_cudnn.Late(partial(fused_cudnn.conv_act, x, w, bias, 0.2))
    with pytest.raises(ImportError, match="nvidia-cudnn-frontend is not installed"):
        late()
    monkeypatch.setattr(fused_cudnn.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(fused_cudnn.importlib, "import_module", lambda name: module)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    expected = F.leaky_relu(F.conv2d(x.float(), w.float(), bias.float(), padding=1), 0.2)
    for _ in range(2):
        torch.testing.assert_close(late().float(), expected, rtol=5e-3, atol=5e-3)
    assert len(graphs) == 1
    assert graphs[0].kinds["compute_data_type"] == "float"


@pytest.mark.parametrize(("ours", "met"), [(1.0, True), (1.01, True), (1.2, False)])
def test_no_slower_than_the_rival(ours: float, met: bool) -> None:
    candidates = {"ours: a": {"ms": ours, "spread": 0.02}, "cudnn": {"ms": 1.0, "spread": 0.01}}
    case = Case("c", {}, rival="cudnn")
    assert operators.verdict(case, candidates)["met"] is met


def test_share_of_the_peak() -> None:
    case = Case("c", {}, target=0.8)
    for fraction, met in ((0.81, True), (0.79, False)):
        candidates = {"ours": {"ms": 1.0, "spread": 0.0, "fraction": fraction}}
        assert operators.verdict(case, candidates)["met"] is met


def context(folder: Path, seconds: float = 90.0) -> Context:
    return Context(folder, seconds, "90a", "cpu", tiny=True)


def test_every_step_is_written_at_once_whatever_happens(tmp_path: Path) -> None:
    def failing(_: Context) -> steps.Result:
        raise OSError("no room")

    def second(_: Context) -> steps.Result:
        assert json.loads((tmp_path / "first.json").read_text())["status"] == "failed: OSError('no room')"
        return {"status": "passed", "problems": ["c: wrong"]}

    found = steps.run_steps([Step("first", 1, failing), Step("second", 1, second)], context(tmp_path))
    assert found == ["first: failed: OSError('no room')", "second: c: wrong"]
    assert json.loads((tmp_path / "second.json").read_text())["step"] == "second"


def test_programs_are_recorded_and_killed_with_their_children(tmp_path: Path) -> None:
    assert steps.command(["false"], 10)["status"] == "exit status 1"
    assert steps.command(["no-such-program"], 10)["status"] == "not available: no-such-program"
    assert steps.command(["echo", "hello"], 10) == {"status": "passed", "tail": ["hello"]}
    start, mark = time.monotonic(), tmp_path / "alive"
    late = ["sh", "-c", f"(sleep 2; touch {mark}) & echo begun; sleep 30"]
    assert steps.command(late, 0.5) == {"status": "not finished in 0.5 s", "tail": ["begun"]}
    assert time.monotonic() - start < 10
    time.sleep(2.5)
    assert not mark.exists()


def test_a_measurement_that_is_ended_leaves_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Context, arguments: list[str]) -> steps.Result:
        Path(arguments[arguments.index("--output") + 1]).write_text('{"rows": [1]}')
        assert arguments[arguments.index("--seconds") + 1] == "50"
        return {"status": "not finished in 90 s", "tail": []}

    monkeypatch.setattr(Context, "command", run)
    found = context(tmp_path).measurement("operators", spare=40)
    assert found == {"status": "not finished in 90 s", "tail": [], "rows": [1]}
    assert list(tmp_path.iterdir()) == []


def test_steps_fit_into_fifteen_minutes() -> None:
    assert sum(step.seconds for step in check.STEPS) <= 15 * 60 - 120  # the machine takes time to start
    order = "build launchers memcheck racecheck tests operators plan ncu training edit".split()
    assert [step.name for step in check.STEPS] == order
    assert [step.name for step in check.chosen("build,edit")][:1] == ["launchers"]
    with pytest.raises(ValueError, match="no step nothing"):
        check.chosen("nothing")


def commands(
    folder: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[tuple[list[str], dict[str, str]]]]:
    """By step, the commands that it would run on a device, with the variables it sets."""
    given: dict[str, list[tuple[list[str], dict[str, str]]]] = {step.name: [] for step in check.STEPS}
    monkeypatch.setattr(build, "build", lambda _: build.Built(folder / "library.so", folder))
    for step in check.STEPS:

        def command(_: Context, arguments: list[str], *, to: str = step.name, **more: str) -> steps.Result:
            given[to].append((arguments, more))
            return {"status": "passed", "tail": []}

        monkeypatch.setattr(Context, "command", command)
        step.run(Context(folder, 60.0, "90a", device, tiny=device == "cpu"))
    return given


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_every_step_runs_commands_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    given = commands(tmp_path, device, monkeypatch)
    assert all(given.values()), [name for name, found in given.items() if not found]
    for name, found in given.items():
        for arguments, _ in found:
            modules = [after for word, after in pairwise(arguments) if word == "-m" and "." in after]
            for module in modules:
                importlib.import_module(module)
            for word in arguments:
                assert not word.startswith("tests/") or (steps.ROOT / word).exists(), (name, word)
            if "bench" in arguments:
                words = arguments[arguments.index("bench") :]
                assert build_parser().parse_args(words).part in ("edit", "training")
                assert words[words.index("--device") + 1] == device


def test_a_rehearsal_takes_the_same_steps_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs a GPU is left to the interpreter: the driver in other orders, tests, the profiler."""
    given = commands(tmp_path, "cpu", monkeypatch)
    words = {name: [word for arguments, _ in found for word in arguments] for name, found in given.items()}
    for name in ("launchers", "memcheck", "racecheck"):
        assert "interpreter" in words[name]
        assert "compute-sanitizer" not in words[name]
    orders = {
        name: given[name][-1][1].get("STYLEMAP_SASS_ORDER") for name in ("launchers", "memcheck", "racecheck")
    }
    assert len(set(orders.values())) == 3
    assert "tests.cuda.sass.plugin" in words["tests"]
    assert given["tests"][0][1]["STYLEMAP_SASS_LIBRARY"].endswith("library.so")
    assert "tests.cuda.sass" in words["ncu"]
    assert "ncu" not in words["ncu"]
    on_gpu = commands(tmp_path, "cuda", monkeypatch)
    assert {name for name, found in on_gpu.items() if "compute-sanitizer" in found[0][0]} == {
        "memcheck",
        "racecheck",
    }


def test_a_rehearsal_is_at_its_end_when_every_step_has_passed(tmp_path: Path) -> None:
    for step in check.STEPS:
        steps.write({"status": "passed"}, tmp_path / f"{step.name}.json")
    assert rehearsal.unfinished(tmp_path) == []
    (tmp_path / "ncu.json").unlink()
    steps.write({"status": "exit status 1", "problems": ["c: wrong"]}, tmp_path / "tests.json")
    assert rehearsal.unfinished(tmp_path) == ["tests: exit status 1", "tests: c: wrong", "ncu: no result"]


def test_a_rehearsal_says_what_it_cannot_begin_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = tmp_path / "packages.txt"
    packages.write_text("# ours\npytest\nnumpy==0.1.*\nno-such-package>=2\n")
    monkeypatch.setattr(rehearsal, "PACKAGES", packages)
    monkeypatch.setattr(rehearsal, "ROOM", 1 << 60)
    monkeypatch.setattr(rehearsal._build, "cuda_home", lambda: None)
    monkeypatch.setattr(rehearsal, "bare_copy", None)  # never called
    assert rehearsal.main(["--python", sys.executable]) == 2
    told = capsys.readouterr().out
    assert "no package no-such-package>=2" in told
    assert "where numpy==0.1.* is wanted" in told
    assert "nvcc was found neither" in told
    assert "pytest" not in told
    assert rehearsal.main(["--python", str(tmp_path / "none")]) == 2
    assert "cannot say which packages" in capsys.readouterr().out
    assert rehearsal.main([]) == 2
    assert "GiB for a fresh environment" in capsys.readouterr().out


def test_a_rehearsal_runs_in_a_bare_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = rehearsal.bare_copy(tmp_path / "copy", "HEAD")
    assert (copy / "Makefile").is_file()
    assert not (copy / ".git").exists()
    given: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(rehearsal.subprocess, "run", lambda *args, **kwargs: given.append((args, kwargs)))
        patch.setenv("PYTHONPATH", "elsewhere")
        rehearsal.run(copy, "some-python", tmp_path / "results")
    (command,), options = given[0]
    assert command[:3] == ["make", "gpu-check", "PYTHON=some-python"]
    assert options["cwd"] == copy
    assert "PYTHONPATH" not in options["env"]
    made = subprocess.check_output(["make", "-n", *command[1:]], cwd=steps.ROOT, text=True)
    assert "--device cpu --tiny --output" in made


def test_architecture_and_counts() -> None:
    assert check.architecture("9.0") == "90a"
    assert check.architecture("8.6") == "86"
    found = check.counts(["", "1 failed, 900 passed, 3 skipped in 61.3s"])
    assert found == {"failed": 1, "passed": 900, "skipped": 3}
    assert check.counts(["= 7 passed in 2s =", "peak memory: 0.8 GiB", "machine code: 12 launches"]) == {
        "passed": 7
    }


def test_a_run_without_tests_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, problems in (("200 passed in 9s", []), ("0 launches", ["no test has passed"])):
        monkeypatch.setattr(
            Context, "command", lambda *_, said=line, **__: {"status": "passed", "tail": [said]}
        )
        monkeypatch.setattr("tests.cuda.sass.build.build", lambda _: build.Built(tmp_path, tmp_path))
        assert check.tests(context(tmp_path))["problems"] == problems


def test_the_steps_need_no_torch_before_they_run() -> None:
    modules = "stylemap.benchmarks.gpu.check, stylemap.benchmarks.gpu.__main__"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err
