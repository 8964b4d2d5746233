"""What the editor renders is what the edits say, by whichever way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import edit
from stylemap.editor.composer import Composer
from stylemap.editor.edits import Part, Recipe
from stylemap.engine.plans import for_inference
from stylemap.model.protocol import Blending, Sampling
from stylemap.ops import _native
from tests.helpers import tiny


class Exported(Sampling):
    """A model with the methods of an exported one, and none that only checkpoints have."""

    def __init__(self) -> None:
        model = tiny.model()
        self.config, self.like = model.config, model.like
        self.parameters, self.encode, self.decode = model.parameters, model.encode, model.decode
        self.stylecodes, self.synthesize, self.map = model.stylecodes, model.synthesize, model.map
        self._model = model
        self.edits = 0

    def __call__(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def edit(self, *arguments: Any, **options: Any) -> Tensor:
        self.edits += 1
        return edit.blend(self._model, *arguments, **options)


COMPOSERS = {
    "checkpoint": lambda: Composer(tiny.model()),
    "exported": lambda: Composer(Exported()),
    "camera": lambda: Composer(for_inference(tiny.model(), torch.device("cpu"), "fp32")),
}


def _direction() -> Tensor:
    shape = tiny.CONFIG.stylemap_shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)) * 0.3


@pytest.mark.parametrize("weight", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("parts", [0, 2])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", COMPOSERS)
@torch.no_grad()
def test_every_way_is_the_edits(name: str, mixed: bool, moved: bool, parts: int, weight: float) -> None:
    composer, model, size = COMPOSERS[name](), tiny.model(), tiny.SIZE
    a, b, c = (composer.add(photo) for photo in tiny.photos(3))
    masks = [edit.masks.box(size, 0, 0, 0.5, 0.7), edit.masks.ellipse(size, 0.6, 0.5, 0.3, 0.3)]
    shifts = [(4.0, -2.0), (0.0, 0.0)]
    references = [Part(image, mask, shift) for image, mask, shift in zip((b, c), masks, shifts)][:parts]
    offset = _direction() if moved else None
    recipe = Recipe(a, references, weight, offset, (c, (0, 1, 3)) if mixed else None, name == "camera")

    w = tiny.stylemaps(3)
    base = w[:1] + weight * offset if offset is not None else w[:1]
    if mixed:
        codes, other = model.stylecodes(base), model.stylecodes(w[2:])
        for index in (0, 1, 3):
            codes[index] = codes[index] + weight * (other[index] - codes[index])

        class Mixed:
            config, synthesize = model.config, staticmethod(model.synthesize)

            @staticmethod
            def stylecodes(wanted: Tensor) -> list[Tensor]:
                return codes if wanted is base else model.stylecodes(wanted)

        wanted = edit.blend(Mixed, base, [w[1:2], w[2:]][:parts], masks[:parts], shifts[:parts], weight)
    else:
        wanted = edit.blend(model, base, [w[1:2], w[2:]][:parts], masks[:parts], shifts[:parts], weight)
    for _ in range(2):  # the second time from what is cached
        torch.testing.assert_close(composer.render(recipe, "owner"), wanted[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", COMPOSERS)
def test_random_images(name: str) -> None:
    composer = COMPOSERS[name]()
    one = composer.add_stylemap(composer.random(3, 0.7))
    again = composer.add_stylemap(composer.random(3, 0.7))
    other = composer.add_stylemap(composer.random(4, 0.7))
    images = [composer.render(Recipe(handle)) for handle in (one, again, other)]
    assert torch.equal(images[0], images[1])
    assert not torch.allclose(images[0], images[2], atol=0.01)
    mean = composer.add_stylemap(composer.random(3, 0.0))
    torch.testing.assert_close(
        composer.stylemap(mean), composer.stylemap(composer.add_stylemap(composer.random(4, 0.0)))
    )
    assert composer.usual_step() > 0


def test_an_exported_model_edits_in_its_own_graph() -> None:
    model = Exported()
    assert isinstance(model, Blending)
    composer = Composer(model)
    a, b = (composer.add(photo) for photo in tiny.photos(2))
    composer.render(Recipe(a, [Part(b, edit.masks.box(tiny.SIZE, 0, 0, 1, 1), (0, 0))]))
    assert model.edits == 1


def test_an_exported_model_shows_an_image_by_its_decoder_alone() -> None:
    model = Exported()
    model.stylecodes = model.synthesize = model.edit = None  # type: ignore[assignment, method-assign]
    composer = Composer(model)
    handle = composer.add(tiny.photos(1)[0])
    torch.testing.assert_close(composer.render(Recipe(handle)), tiny.model()(tiny.photos(1))[0])


@pytest.mark.skipif(not _native.loaded(), reason="the native library is not built")
def test_nothing_is_kept_of_a_cameras_picture() -> None:
    composer = COMPOSERS["camera"]()
    a, b = (composer.add(photo, prepare=False) for photo in tiny.photos(2))
    part = Part(b, edit.masks.box(tiny.SIZE, 0, 0, 0.5, 0.5), (0, 0))
    passing = composer.render(Recipe(a, [part], offset=_direction(), passing=True), "one")
    assert composer.stats()["cached_images"] == 0
    torch.testing.assert_close(
        passing, composer.render(Recipe(a, [part], offset=_direction()), "one"), rtol=1e-4, atol=1e-4
    )
    assert composer.stats()["cached_images"] == 2  # of the moved original and the reference


def test_moved_originals_are_kept_once_per_owner() -> None:
    composer = Composer(tiny.model())
    a, b = (composer.add(photo) for photo in tiny.photos(2))
    part = Part(b, edit.masks.box(tiny.SIZE, 0, 0, 0.5, 0.5), (0, 0))
    for step in range(5):
        composer.render(Recipe(a, [part], offset=_direction() * step + 0.1), "one")
        composer.render(Recipe(a, [part], offset=_direction() * step + 0.2), "other")
    assert composer.stats()["images"] == 4
    for owner in ("one", "other"):
        composer.forget_temporary(owner)
    assert composer.stats()["images"] == 2


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_opacity_is_a_weight_of_one_reference(opacity: float) -> None:
    composer, model = Composer(tiny.model()), tiny.model()
    a, b, c = (composer.add(photo) for photo in tiny.photos(3))
    w = tiny.stylemaps(3)
    masks = [edit.masks.box(tiny.SIZE, 0, 0, 0.5, 1), edit.masks.box(tiny.SIZE, 0.5, 0, 1, 1)]
    parts = [Part(b, masks[0], (0, 0), opacity), Part(c, masks[1], (0, 0), 0.5)]
    made = composer.render(Recipe(a, parts, 0.8))
    # The masks do not meet: in each half the codes are those of an edit by that half's weight.
    codes = model.stylecodes(w[:1])
    for w_part, mask, weight in ((w[1:2], masks[0], 0.8 * opacity), (w[2:], masks[1], 0.4)):
        for index, (code, laid) in enumerate(zip(codes, model.stylecodes(w_part))):
            on = edit.masks.pool_average(edit.masks.as_mask(mask, tiny.SIZE), code.shape[-1])
            codes[index] = torch.where(on, code + weight * (laid - code), code)
    torch.testing.assert_close(made, model.synthesize(codes)[0], rtol=1e-4, atol=1e-4)
