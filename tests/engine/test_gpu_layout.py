"""Which cells a GPU pastes and convolves, and in how much room: against the layouts that a CPU uses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stylemap.engine import ring
from stylemap.engine.gpu_edit import Level
from stylemap.engine.gpu_layout import layout, overlap
from stylemap.engine.reference import EditReference, ImageHandle, edit_reference
from tests.engine.test_session import LAYERS, Layers, model


def parts(layers: Layers) -> list[EditReference]:
    config = model().config
    return [edit_reference(ImageHandle(image), mask, shift, config) for image, mask, shift in layers]


@settings(max_examples=60, deadline=None)
@given(LAYERS, st.booleans())
def test_layouts_are_those_of_single_cells(layers: Layers, opaque: bool) -> None:
    references = parts(layers)
    for side in model().config.resolutions:
        masks = [reference.cells[side] for reference in references]
        if not masks:
            continue
        expected, actual = ring.layout(masks, 1, opaque), layout(masks, opaque)
        assert actual.ring.tolist() == expected.tiles.tolist()
        assert actual.changed.tolist() == expected.changed.tolist()
        for found, wanted in ((actual.paste, expected.paste), (actual.inputs, expected.inputs)):
            assert [(r.pattern, r.cells.tolist()) for r in found] == [
                (r.pattern, r.cells.tolist()) for r in wanted
            ]
        assert overlap(masks) == ring.overlap(masks)


@settings(max_examples=40, deadline=None)
@given(LAYERS, st.booleans())
def test_levels_have_room_and_waste_little(layers: Layers, opaque: bool) -> None:
    references = parts(layers)
    if not any(reference.cells[64].any for reference in references):
        return
    layouts = {r: layout([part.cells[r] for part in references], opaque) for r in model().config.resolutions}
    level = Level.of(layouts)
    for side, each in layouts.items():
        assert len(each.changed) <= level.changed(side)
        assert sum(len(region.cells) for region in each.inputs) <= level.inputs(side)
        assert len(each.ring) <= level.ring(side) <= side * side
    if level.border:
        smaller = Level(level.area, level.border - 1)
        assert any(
            len(each.ring) > smaller.ring(side)
            or sum(len(region.cells) for region in each.inputs) > smaller.inputs(side)
            for side, each in layouts.items()
        )
