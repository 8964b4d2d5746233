"""The graphs of a page without a server: a part of each map from a part of each stylecode."""

from __future__ import annotations

from pathlib import Path

import torch

from stylemap.export import ports
from stylemap.export.onnx import export_onnx
from stylemap.export.sessions import open_session
from stylemap.export.verify import Samples
from tests.helpers import tiny


def test_parts_of_maps_are_those_of_the_whole_but_for_their_border(tmp_path: Path) -> None:
    export_onnx(tiny.model(), tmp_path, ports.BROWSER, photos=tiny.photos(3))
    session = open_session(tmp_path / "part_maps.onnx", "onnxruntime")
    samples = Samples(tiny.model(), tiny.photos(3))
    whole = {f"maps_{index}": made[:1] for index, made in enumerate(samples.maps)}
    parts = {f"codes_{index}": code[:1, :, 1:6, 2:8].contiguous() for index, code in enumerate(samples.codes)}
    for name, made in session.run(parts).items():
        torch.testing.assert_close(made[..., 1:-1, 1:-1], whole[name][..., 2:5, 3:7], atol=1e-4, rtol=1e-4)
