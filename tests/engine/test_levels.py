"""In how much room a GPU makes an edit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stylemap.engine.gpu.rows import Level
from stylemap.engine.images import EditReference, ImageHandle, edit_reference
from stylemap.program.ring import layout
from tests.engine.test_session import LAYERS, Layers, model


def parts(layers: Layers) -> list[EditReference]:
    config = model().config
    return [edit_reference(ImageHandle(image), mask, shift, config) for image, mask, shift in layers]


@settings(max_examples=40, deadline=None)
@given(LAYERS, st.booleans())
def test_levels_have_room_and_waste_little(layers: Layers, opaque: bool) -> None:
    references = parts(layers)
    if not any(reference.cells[64].any for reference in references):
        return
    layouts = {
        r: layout([part.cells[r] for part in references], opaque=opaque) for r in model().config.resolutions
    }
    level = Level.of(layouts)
    for side, each in layouts.items():
        assert len(each.changed) <= level.changed(side)
        assert sum(len(region.cells) for region in each.inputs) <= level.inputs(side)
        assert len(each.tiles) <= level.ring(side) <= side * side
    if level.border:
        smaller = Level(level.area, level.border - 1)
        assert any(
            len(each.tiles) > smaller.ring(side)
            or sum(len(region.cells) for region in each.inputs) > smaller.inputs(side)
            for side, each in layouts.items()
        )
