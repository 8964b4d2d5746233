"""ONNX graphs: standard operators, complete shapes, the results of the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers import needs

onnx = needs.package("onnx")
ort = needs.package("onnxruntime")

from stylemap import edit  # noqa: E402
from stylemap.config import NORMALIZE_MODES  # noqa: E402
from stylemap.export import graphs, ports  # noqa: E402
from stylemap.export.description import describe  # noqa: E402
from stylemap.export.files import set_metadata  # noqa: E402
from stylemap.export.sessions import Session, open_session  # noqa: E402
from stylemap.export.sessions.plain import PlainSession  # noqa: E402
from stylemap.export.verify import TOLERANCE, Samples, relative_error, verify  # noqa: E402
from stylemap.model import StyleMapGAN  # noqa: E402
from stylemap.model.recipe import recipe_model  # noqa: E402
from tests.helpers import tiny  # noqa: E402
from tests.helpers.tolerances import tolerance  # noqa: E402


def opened(model: StyleMapGAN, graph: str, folder: Path, precision: str = "fp32", opset: int = 20) -> Session:
    proto = graphs.build(model, graph, precision, opset)
    set_metadata(proto, describe(model, graph, precision, {}).to_metadata())
    path = folder / f"{graph}.onnx"
    path.write_bytes(proto.SerializeToString())
    return open_session(path, "onnxruntime", threads=1)


@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("mode", NORMALIZE_MODES)
def test_every_norm_and_generator(mode: str, small: bool, tmp_path: Path) -> None:
    table = {4: 8, 8: 16, 16: 24, 32: 8}  # widths that 8 groups divide
    config = dataclasses.replace(tiny.CONFIG, normalize_mode=mode, small_generator=small, channel_table=table)
    model = recipe_model(config)
    samples = Samples(model, tiny.photos(2), batches=(1, 3))
    for graph in ("encoder", "decoder"):
        errors = verify(opened(model, graph, tmp_path), samples, 1e-5)
        assert len(errors) == 3


@pytest.mark.parametrize("opset", graphs.OPSETS)
def test_every_opset(opset: int, tmp_path: Path) -> None:
    samples = Samples(tiny.model(), tiny.photos(1), batches=(2,))
    for graph in ports.ALL:
        verify(opened(tiny.model(), graph, tmp_path, opset=opset), samples, 1e-5)


def test_half_precision(tmp_path: Path) -> None:
    samples = Samples(tiny.model(), tiny.photos(1), batches=(2,))
    for graph in ports.ALL:
        errors = verify(opened(tiny.model(), graph, tmp_path, "fp16"), samples, TOLERANCE["fp16"])
        assert max(errors.values()) > 1e-5  # it is computed in half precision, not in float32


def test_bfloat16() -> None:
    samples = Samples(tiny.model(), tiny.photos(1), batches=(2,))
    for graph in ports.ALL:
        proto = graphs.build(tiny.model(), graph, "bf16", graphs.BF16_OPSET)
        kinds = {node.op_type for node in proto.graph.node}
        assert "ConvTranspose" not in kinds
        session = PlainSession(tiny.model(), describe(tiny.model(), graph, "bf16", {}), torch.bfloat16)
        verify(session, samples, TOLERANCE["bf16"])


def test_phases_are_the_transposed_convolution(tmp_path: Path) -> None:
    """The form of bfloat16 graphs, tried in float32."""
    from stylemap.export.lowering import OnnxLowering

    class Phases(OnnxLowering):
        def phased(self, name: str) -> bool:
            return True

    proto = graphs.build(tiny.model(), "decoder", lowering=Phases)
    assert "ConvTranspose" not in {node.op_type for node in proto.graph.node}
    session = ort.InferenceSession(proto.SerializeToString())
    w = tiny.stylemaps(2)
    (images,) = session.run(None, {"w": w.numpy()})
    assert relative_error(torch.from_numpy(images), tiny.model().decode(w)) < tolerance("network", "fp32")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_standard_operators_with_known_shapes(precision: str) -> None:
    opset = graphs.BF16_OPSET if precision == "bf16" else graphs.DEFAULT_OPSET
    for graph in ports.ALL:
        proto = graphs.build(tiny.model(), graph, precision, opset)
        assert {entry.domain for entry in proto.opset_import} == {""}
        assert all(node.domain == "" for node in proto.graph.node)
        assert "Identity" not in {node.op_type for node in proto.graph.node}
        names = [node.name for node in proto.graph.node]
        assert len(set(names)) == len(names)
        shapes = {info.name: info.type.tensor_type for info in proto.graph.value_info}
        results = {name for node in proto.graph.node for name in node.output}
        assert results - {info.name for info in proto.graph.output} == set(shapes)
        assert all(kind.HasField("shape") for kind in shapes.values())


def test_inputs_and_outputs() -> None:
    for graph in ports.ALL:
        proto = graphs.build(tiny.model(), graph)
        for infos, expected in (
            (proto.graph.input, ports.inputs(graph, tiny.CONFIG)),
            (proto.graph.output, ports.outputs(graph, tiny.CONFIG)),
        ):
            found = [
                (info.name, tuple(d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim))
                for info in infos
            ]
            assert found == [(port.name, port.shape) for port in expected]
        assert all(port.shape[0] == ports.BATCH for port in ports.inputs(graph, tiny.CONFIG))


def test_weights_are_folded_and_stored_once() -> None:
    proto = graphs.build(tiny.model(), "decoder")
    kinds = [node.op_type for node in proto.graph.node]
    resolutions = len(tiny.CONFIG.resolutions)
    # Stylecodes 2 a resolution (of which the up ones are transposed, with a blur), a modulated
    # convolution and its modulation for conv1, two of each and a skip in every block, two in to_rgb.
    blocks = resolutions - 1
    assert kinds.count("ConvTranspose") == 2 * blocks
    assert kinds.count("Conv") == (2 * resolutions - blocks) + blocks + 2 + (2 + 1 + 1 + 1) * blocks + 2
    assert kinds.count("Split") == 2 * blocks + 2
    raw = [(tuple(t.dims), t.data_type, t.raw_data) for t in proto.graph.initializer]
    assert len(set(raw)) == len(raw)
    used = {name for node in proto.graph.node for name in node.input}
    assert {t.name for t in proto.graph.initializer} <= used


@pytest.mark.parametrize(("opset", "precision"), [(17, "fp32"), (99, "fp32"), (20, "bf16")])
def test_unknown_opset(opset: int, precision: str) -> None:
    with pytest.raises(ValueError, match=f"opset must be .* for {precision}, got {opset}"):
        graphs.build(tiny.model(), "encoder", precision, opset)


@pytest.fixture(scope="module")
def editor() -> ort.InferenceSession:
    return ort.InferenceSession(graphs.build(tiny.model(), "editor").SerializeToString())


Reference = tuple[tuple[int, int, int, int], tuple[int, int]]
SIDE = st.integers(0, tiny.SIZE)
SHIFT = st.integers(-tiny.SIZE - 4, tiny.SIZE + 4)
REFERENCE = st.tuples(st.tuples(SIDE, SIDE, SIDE, SIDE), st.tuples(SHIFT, SHIFT))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    references=st.lists(REFERENCE, min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.5]), min_size=1, max_size=3),
)
def test_editor_against_blend(
    editor: ort.InferenceSession,
    references: list[Reference],
    weights: list[float],
) -> None:
    """Any rectangles, shifts beyond the frame, overlaps, weights above 1."""
    with torch.no_grad():
        feeds, expected = _edit(references, weights)
        (images,) = editor.run(None, feeds)
    assert relative_error(torch.from_numpy(images), expected) < tolerance("network", "fp32")


@pytest.fixture(scope="module")
def cached() -> tuple[ort.InferenceSession, ort.InferenceSession]:
    maps, cached_editor = (
        ort.InferenceSession(graphs.build(tiny.model(), graph).SerializeToString()) for graph in ports.CACHED
    )
    return maps, cached_editor


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    references=st.lists(REFERENCE, min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.5]), min_size=1, max_size=3),
)
def test_cached_editor_against_blend(
    cached: tuple[ort.InferenceSession, ort.InferenceSession],
    references: list[Reference],
    weights: list[float],
) -> None:
    """The same edits from maps of the unedited images."""
    with torch.no_grad():
        feeds, expected = _edit(references, weights)
        (images,) = cached[1].run(None, feeds | _maps(cached[0], feeds))
    assert relative_error(torch.from_numpy(images), expected) < tolerance("network", "fp32")


def test_cached_maps_are_used_away_from_borders(
    cached: tuple[ort.InferenceSession, ort.InferenceSession],
) -> None:
    """Wrong maps of the reference show, but not where nothing of it is laid."""
    inner, outside = ((8, 8, 16, 16), (0, 0)), ((0, 0, 32, 32), (99, 0))
    for reference, shows in ((inner, True), (outside, False)):
        feeds, expected = _edit([reference], [1.0])
        maps = _maps(cached[0], feeds)
        wrong = {name: value + name.startswith("reference") for name, value in maps.items()}
        (images,) = cached[1].run(None, feeds | wrong)
        assert (relative_error(torch.from_numpy(images), expected) > 1e-2) == shows


def _edit(references: list[Reference], weights: list[float]) -> tuple[dict[str, np.ndarray], Tensor]:
    """What an editor is fed, and what `edit.blend` makes of it."""
    model, count, frames = tiny.model(), len(references), len(weights)
    w = tiny.stylemaps(1 + count)
    masks = [_rectangle(*corners) for corners, _ in references]
    shifts = [shift for _, shift in references]
    expected = edit.blend(model, w[:1], list(w[1:].split(1)), masks, shifts, weights)
    feeds = {f"codes_{i}": _frames(code, frames) for i, code in enumerate(model.stylecodes(w[:1]))}
    for i, code in enumerate(model.stylecodes(w[1:])):
        feeds[f"reference_codes_{i}"] = _frames(code[None], frames)
    feeds["masks"] = _frames(torch.stack(masks)[None], frames)
    feeds["shifts"] = np.ascontiguousarray(np.broadcast_to(np.array(shifts), (frames, count, 2)))
    feeds["weights"] = np.array(weights, np.float32)
    return feeds, expected


def _maps(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the image and of its references."""
    codes = {name: value for name, value in feeds.items() if name.startswith("codes")}
    laid = {f"codes_{i}": feeds[f"reference_codes_{i}"] for i in range(len(codes))}
    batch, count = laid["codes_0"].shape[:2]
    made = session.run(None, codes)
    others = session.run(None, {name: value.reshape(-1, *value.shape[2:]) for name, value in laid.items()})
    result = {f"maps_{i}": value for i, value in enumerate(made)}
    return result | {
        f"reference_maps_{i}": value.reshape(batch, count, *value.shape[1:]) for i, value in enumerate(others)
    }


def _rectangle(top: int, left: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[top : top + height, left : left + width] = 1
    return mask


def _frames(value: Tensor, count: int) -> np.ndarray:
    return value.expand(count, *value.shape[1:]).contiguous().numpy()


def test_the_mapping_graph_of_a_class(tmp_path: Path) -> None:
    model = StyleMapGAN(tiny.CONFIG, ("left", "right")).eval().requires_grad_(False)
    with pytest.raises(ValueError, match="of one class: choose among left, right"):
        graphs.build(model, "mapping")
    one = model.of_class("right")
    samples = Samples(one, tiny.photos(1), batches=(1, 3))
    verify(opened(one, "mapping", tmp_path), samples, 1e-5)
