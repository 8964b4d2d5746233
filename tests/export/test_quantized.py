"""int8 and float8 files: calibration, rounding, and the refusal below 35 dB."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap import checkpoint, images, program  # noqa: E402
from stylemap.cli import main  # noqa: E402
from stylemap.export import Runtime, quantized  # noqa: E402
from stylemap.export.calibrate import BINS, METHODS, Histogram, Recorder, calibrate  # noqa: E402
from stylemap.export.quantized import LAYERS, LEAST_PSNR, QuantizationError, export_quantized  # noqa: E402
from tests.helpers import tiny  # noqa: E402


def histogram(values: Tensor) -> Histogram:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return Histogram(low, high, torch.histc(values, BINS, low, high).double())


def quantisation_error(values: Tensor, low: float, high: float) -> float:
    step = (high - low) / 255
    rounded = ((values.clamp(low, high) - low) / step).round() * step + low
    return float((rounded - values).square().mean())


def test_ranges_of_a_distribution_with_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200_000, generator=generator)
    values[:3] = torch.tensor([60.0, -25.0, 40.0])
    found = {method: histogram(values).range(method) for method in METHODS}
    assert found["minmax"] == (-25.0, 60.0)
    for method in ("percentile", "entropy"):
        low, high = found[method]
        assert -25 <= low < -2
        assert 2 < high < 60
        # The bulk of the values gains from giving up the outliers.
        assert quantisation_error(values[3:], low, high) < quantisation_error(values[3:], -25, 60) / 1.5
    assert found["percentile"][1] < 5


def test_ranges_of_a_uniform_distribution_are_the_full_ones() -> None:
    values = torch.linspace(-1, 3, 100_000)
    for method in METHODS:
        low, high = histogram(values).range(method)
        assert low == pytest.approx(-1, abs=0.05)
        assert high == pytest.approx(3, abs=0.1)


def test_constant_activations() -> None:
    for method in METHODS:
        assert histogram(torch.zeros(100)).range(method) == (0, 0)


def test_calibration_sees_every_convolution() -> None:
    w = tiny.stylemaps(2)

    def run(recorder: Recorder) -> None:
        program.decode(recorder, recorder.network, w)

    found = calibrate(program.Weights(tiny.model()), [run, run])
    assert {name.rpartition("/")[0] for name in found} >= {
        "decoder/conv1/modulation",
        "decoder/convs_latent.2",
        "decoder/convs.1/conv1",
        "decoder/convs.1/skip",
        "decoder/to_rgb",
    }
    counted = found["decoder/convs_latent.0/input"]
    assert float(counted.counts.sum()) == 2 * w.numel()
    assert (counted.low, counted.high) == (min(0, float(w.min())), max(0, float(w.max())))


def narrow_model() -> torch.nn.Module:
    """The tiny model with images of a trained one's range: recipe weights make them four times as wide."""
    from stylemap.model.recipe import recipe_model

    model = recipe_model(tiny.CONFIG)
    to_rgb = model.generator.decoder.to_rgb
    to_rgb.conv.weight.data *= 0.25
    to_rgb.activate.bias.data *= 0.25
    return model


@pytest.mark.parametrize("method", METHODS)
def test_export(method: str, tmp_path: Path) -> None:
    model = narrow_model()
    written = export_quantized(model, tmp_path, tiny.photos(8), method=method)
    assert {file.path.name for file in written} == {path.name for path in tmp_path.iterdir()}
    photos = tiny.photos(3, seed=5)
    runtime = Runtime(tmp_path)
    assert float((runtime(photos) - model(photos)).square().mean()) < 4 / 10 ** (30 / 10)
    for file in written:
        assert file.psnr >= LEAST_PSNR
        proto = onnx.load(file.path)
        kinds = [node.op_type for node in proto.graph.node]
        if file.description.graph == "mapping":
            assert "QuantizeLinear" not in kinds
            continue
        assert kinds.count("QuantizeLinear") >= 5
        types = {t.name: t.data_type for t in proto.graph.initializer}
        assert onnx.TensorProto.INT8 in types.values()
        assert file.description.verified["layers"] in LAYERS
        assert file.description.verified["method"] == method
        assert file.description.verified["calibrated_on"] == 6


def test_float8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """e4m3 has three bits of mantissa: fewer layers, or less precision, than with int8."""
    monkeypatch.setattr(quantized, "LEAST_PSNR", 30.0)
    (file,) = export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["decoder"], kind="fp8")
    assert file.description.precision == "fp8"
    proto = onnx.load(file.path)
    types = {t.name: t.data_type for t in proto.graph.initializer}
    assert types["decoder/conv1/modulation.weight"] == onnx.TensorProto.FLOAT8E4M3FN
    assert types["decoder/to_rgb.weight"] == onnx.TensorProto.FLOAT16


def test_weights_are_scaled_per_channel(tmp_path: Path) -> None:
    (file,) = export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["encoder"])
    proto = onnx.load(file.path)
    shapes = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    name = "encoder/convs.0/conv1.weight"
    assert shapes[f"{name}/scale"] == (shapes[name][0],)


def test_fewer_layers_when_all_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (every,) = export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["synthesis"])
    assert every.layers == next(iter(LAYERS))
    monkeypatch.setattr(quantized, "LEAST_PSNR", every.psnr + 1)
    (fewer,) = export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["synthesis"])
    assert fewer.layers != every.layers
    assert fewer.psnr > every.psnr + 1


def test_a_graph_without_those_layers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder has no modulation: with the others refused there is nothing left to quantise."""
    monkeypatch.setattr(quantized, "LEAST_PSNR", 90.0)
    with pytest.raises(QuantizationError, match="the encoder graph in int8 differs") as error:
        export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["encoder"])
    assert "dB with modulation" not in str(error.value)


def test_graphs_with_maps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the graph cached_editor is not offered in int8"):
        export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["decoder", "cached_editor"])


def test_refusal_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "LEAST_PSNR", 90.0)
    message = (
        r"the decoder graph in int8 differs too much .*: \d+\.\d dB with all but to_rgb, .*at least 90 dB"
    )
    with pytest.raises(QuantizationError, match=message):
        export_quantized(narrow_model(), tmp_path, tiny.photos(4), ["decoder"])
    assert list(tmp_path.iterdir()) == []


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="calibration takes at least 4 photos, got 3"):
        export_quantized(tiny.model(), tmp_path, tiny.photos(3))
    with pytest.raises(ValueError, match="quantisation must be one of int8, fp8, got 'int4'"):
        export_quantized(tiny.model(), tmp_path, tiny.photos(4), kind="int4")
    with pytest.raises(ValueError, match=r"calibration must be one of minmax, .*, got 'guess'"):
        export_quantized(tiny.model(), tmp_path, tiny.photos(4), method="guess")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save_safetensors(narrow_model(), tmp_path / "m.safetensors")
    for index, photo in enumerate(tiny.photos(4)):
        images.save(photo, tmp_path / "photos" / f"{index}.png")
    arguments = ["export", "onnx", str(tmp_path / "m.safetensors"), "--precision", "int8"]
    arguments += ["--images", str(tmp_path / "photos"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--graphs", "encoder", "--calibration", "entropy"]) == 0
    assert "encoder.onnx: 0.0 MB, int8 in all but to_rgb, " in capsys.readouterr().out
    assert main([*arguments, "--external-weights"]) == 1
    assert "--external-weights does not go with --precision int8" in capsys.readouterr().err
