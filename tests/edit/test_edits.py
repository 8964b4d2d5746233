"""Edge cases of every edit, on a tiny model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap import edit
from tests.helpers import tiny

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, CELLS = tiny.SIZE, tiny.CELLS
EMPTY, FULL = torch.zeros(SIZE, SIZE), torch.ones(SIZE, SIZE)
LEFT = edit.masks.box(SIZE, 0, 0, 0.5, 1)


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_local_with_empty_and_full_masks(space: str) -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    assert torch.equal(edit.local(model, w[:1], w[1:], EMPTY, space=space), model.decode(w[:1]))
    assert torch.equal(edit.local(model, w[:1], w[1:], FULL, space=space), model.decode(w[1:]))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_local_takes_any_mask_dtype(space: str) -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    expected = edit.local(model, w[:1], w[1:], LEFT, space=space)
    for mask in (LEFT.to(torch.uint8), LEFT.to(torch.uint8) * 255, LEFT.float(), LEFT.double()):
        assert torch.equal(edit.local(model, w[:1], w[1:], mask, space=space), expected)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_local_batches_are_single_edits_together(space: str) -> None:
    model, w = tiny.model(), tiny.stylemaps(4)
    masks = torch.stack([LEFT, LEFT.T])[:, None]
    together = edit.local(model, w[:2], w[2:], masks, space=space)
    alone = [edit.local(model, w[i : i + 1], w[i + 2 : i + 3], masks[i, 0], space=space) for i in range(2)]
    assert _same(together, torch.cat(alone))
    one_mask = edit.local(model, w[:1], w[2:], LEFT, space=space)
    assert _same(one_mask[1:], edit.local(model, w[:1], w[3:], LEFT, space=space))


def test_local_refuses_what_does_not_fit() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    with pytest.raises(ValueError, match=r"32 x 32.*got 16 x 16"):
        edit.local(model, w[:1], w[1:2], torch.ones(16, 16))
    with pytest.raises(ValueError, match="space must be 'w' or"):
        edit.local(model, w[:1], w[1:2], FULL, space="z")
    with pytest.raises(ValueError, match=r"\(2, 8, 8, 8\) and \(3, 8, 8, 8\)"):
        edit.local(model, w[:2], w, FULL)
    with pytest.raises(ValueError, match="3 masks do not go with a batch of 2"):
        edit.local(model, w[:2], w[:2], FULL.expand(3, 1, SIZE, SIZE))


def test_blend_without_effect_leaves_the_original() -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    original = model.decode(w[:1])
    assert torch.equal(edit.blend(model, w[:1], [], []), original)
    assert torch.equal(edit.blend(model, w[:1], [w[1:]], [EMPTY]), original)
    assert torch.equal(edit.blend(model, w[:1], [w[1:]], [FULL], weights=0.0), original)


@pytest.mark.parametrize("shift", [(SIZE, 0), (0, -SIZE), (10 * SIZE, 3), (-SIZE - 5, SIZE + 5)])
def test_blend_shifted_out_of_the_frame_leaves_the_original(shift: tuple[int, int]) -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    assert torch.equal(edit.blend(model, w[:1], [w[1:]], [FULL], [shift]), model.decode(w[:1]))


def test_full_blend_is_the_reference() -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    assert _same(edit.blend(model, w[:1], [w[1:]], [FULL]), model.decode(w[1:]))


def test_blend_drops_source_pixels_that_leave_the_frame() -> None:
    """A mask that lies in the half pushed out has no effect, wherever its shifted copy would wrap to."""
    model, w = tiny.model(), tiny.stylemaps(2)
    right = ~LEFT
    moved_out = edit.blend(model, w[:1], [w[1:]], [right], [(SIZE // 2, 0)])
    assert torch.equal(moved_out, model.decode(w[:1]))


def test_one_frame_has_weight_one() -> None:
    assert edit.frame_weights(1) == [1.0]
    assert edit.frame_weights(3) == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="at least 1 frame"):
        edit.frame_weights(0)


def test_frames_do_not_depend_on_the_chunk() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    arguments = (model, w[:1], [w[1:2], w[2:]], [LEFT, LEFT.T], [(3, 0), (0, -9)], edit.frame_weights(5))
    whole = edit.blend(*arguments, chunk=5)
    assert whole.shape == (5, 3, SIZE, SIZE)
    assert _same(edit.blend(*arguments, chunk=2), whole)
    assert _same(edit.blend(*arguments, chunk=1), whole)


def test_overlapping_references_are_laid_in_order() -> None:
    model, w = tiny.model(torch.float64), tiny.stylemaps(3, dtype=torch.float64)
    a, b = w[1:2], w[2:]
    assert _same(edit.blend(model, w[:1], [a, b], [FULL, FULL]), model.decode(b))
    assert _same(edit.blend(model, w[:1], [b, a], [FULL, FULL]), model.decode(a))
    half = edit.blend(model, w[:1], [a, b], [FULL, FULL], weights=0.5)
    codes = [model.stylecodes(x) for x in (w[:1], a, b)]
    expected = model.synthesize([0.25 * x + 0.25 * y + 0.5 * z for x, y, z in zip(*codes)])
    assert _same(half, expected)


def test_blend_batches() -> None:
    """Originals, references and masks of a batch, or one shared by all, give the single results."""
    model, w = tiny.model(), tiny.stylemaps(5)
    masks = torch.stack([LEFT, LEFT.T])[:, None]
    together = edit.blend(model, w[:2], [w[2:4], w[4:]], [masks, LEFT], [(4, 0), (0, 8)], [0.3, 1.0])
    for i in range(2):
        references, alone = [w[i + 2 : i + 3], w[4:]], [masks[i, 0], LEFT]
        single = edit.blend(model, w[i : i + 1], references, alone, [(4, 0), (0, 8)], [0.3, 1.0][i])
        assert _same(together[i : i + 1], single)
    shared = edit.blend(model, w[:1], [w[2:4]], [LEFT])
    assert _same(shared[1:], edit.blend(model, w[:1], [w[3:4]], [LEFT]))


def test_blend_by_the_opacity_of_each_reference() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    references, masks, shifts = [w[1:2], w[2:]], [LEFT, LEFT.T], [(3, 0), (0, -9)]
    one = edit.blend(model, w[:1], references[:1], masks[:1], shifts[:1], 0.3)
    faded = edit.blend(model, w[:1], references[:1], masks[:1], shifts[:1], [0.5, 1.0], opacities=[0.6])
    assert _same(faded[:1], one)
    both = edit.blend(model, w[:1], references, masks, shifts, opacities=[0.6, 0.0])
    assert _same(both, edit.blend(model, w[:1], references[:1], masks[:1], shifts[:1], 0.6))
    assert torch.equal(
        edit.blend(model, w[:1], references, masks, shifts, 0.7, opacities=[1.0, 1.0]),
        edit.blend(model, w[:1], references, masks, shifts, 0.7),
    )
    for wrong in ([1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="opacities: expected 2 finite numbers"):
            edit.blend(model, w[:1], references, masks, shifts, opacities=wrong)


def test_blend_refuses_what_does_not_fit() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    message = r"masks: expected 1, .*reference_ws \(1 x 8 x 8 x 8\).*got 2 \(32 x 32, 32 x 32\)"
    with pytest.raises(ValueError, match=message):
        edit.blend(model, w[:1], [w[1:2]], [FULL, FULL], [(0, 0)])
    with pytest.raises(ValueError, match=r"32 x 32.*got 64 x 64"):
        edit.blend(model, w[:1], [w[1:2]], [torch.ones(64, 64)])
    with pytest.raises(ValueError, match="3 weights do not go with a batch of 2"):
        edit.blend(model, w[:2], [w[2:]], [FULL], weights=[0, 0.5, 1])
    with pytest.raises(ValueError, match="finite"):
        edit.blend(model, w[:1], [w[1:2]], [FULL], weights=float("nan"))
    with pytest.raises(ValueError, match="chunk"):
        edit.blend(model, w[:1], [w[1:2]], [FULL], chunk=0)


def test_interpolation_ends_and_batches() -> None:
    model, w = tiny.model(), tiny.stylemaps(4)
    strip = edit.interpolate(model, w[:1], w[1:2], [1, 0.5, 0], chunk=2)
    assert _same(strip[:1], model.decode(w[:1]))
    assert _same(strip[2:], model.decode(w[1:2]))
    pairs = edit.interpolate(model, w[:2], w[2:], [0.2, 0.9])
    assert _same(pairs[1:], edit.interpolate(model, w[1:2], w[3:], torch.tensor(0.9)))
    with pytest.raises(ValueError, match="weights must be one or more finite numbers"):
        edit.interpolate(model, w[:1], w[1:2], [])


def test_mixing_by_indices() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    a, b = w[:1], w[1:2]
    assert torch.equal(edit.mix_styles(model, a, b, take=[]), model.decode(a))
    assert torch.equal(edit.mix_styles(model, a, b, take=range(6)), model.decode(b))
    assert torch.equal(edit.mix_styles(model, a, b, take=[0, 1]), edit.mix_styles(model, a, b, take="fine"))
    coarse = edit.mix_styles(model, a, b, take="coarse")
    assert torch.equal(edit.mix_styles(model, a, b, take=(5, 4, 3, 2)), coarse)
    assert edit.mix_styles(model, a, w[1:], take="fine").shape[0] == 2


@pytest.mark.parametrize(
    ("take", "message"), [([6], "code 6 does not exist.*0 to 5"), ([-1], "code -1"), ("both", "'both'")]
)
def test_mixing_what_does_not_exist(take: object, message: str) -> None:
    w = tiny.stylemaps(2)
    with pytest.raises(ValueError, match=message):
        edit.mix_styles(tiny.model(), w[:1], w[1:], take=take)


def test_transplant_copies_cells_in_order() -> None:
    w = tiny.stylemaps(2)
    before = w.clone()
    result = edit.transplant(w[:1], w[1:], [((0, 1), (2, 3), 2, 4), ((1, 1), (0, 0), 1, 1)])
    assert torch.equal(w, before)
    assert torch.equal(result[0, :, 0, 1:5], w[1, :, 2, 3:7])
    assert torch.equal(result[0, :, 1, 1], w[1, :, 0, 0])
    assert torch.equal(result[0, :, 1, 2:5], w[1, :, 3, 4:7])
    assert torch.equal(result[0, :, 2:], w[0, :, 2:])
    assert torch.equal(edit.transplant(w[:1], w[1:], []), w[:1])
    assert torch.equal(edit.transplant(w[:1], w[1:], [((0, 0), (0, 0), CELLS, CELLS)]), w[1:])


@pytest.mark.parametrize(
    "box",
    [
        ((0, 0), (0, 0), 0, 1),
        ((0, 0), (0, 0), CELLS + 1, 1),
        ((-1, 0), (0, 0), 1, 1),
        ((0, 0), (0, 7), 1, 2),
        ((7, 0), (0, 0), 2, 1),
    ],
)
def test_transplant_outside_the_stylemap(box: edit.Box) -> None:
    w = tiny.stylemaps(2)
    with pytest.raises(ValueError, match="does not lie in its stylemap of 8 x 8 cells"):
        edit.transplant(w[:1], w[1:], [box])


def test_manipulation_normalises_and_masks() -> None:
    w = tiny.stylemaps(2)
    direction = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(0))
    moved = edit.manipulate(w, direction, 3.0)
    assert torch.linalg.vector_norm((moved - w)[0]) == pytest.approx(3.0, rel=1e-5)
    assert _same(edit.manipulate(w, 100 * direction, 3.0), moved)
    assert torch.equal(edit.manipulate(w, direction, 0.0), w)
    cells = torch.zeros(CELLS, CELLS)
    cells[2:4, 5] = 1
    inside = edit.manipulate(w, direction, 3.0, cells)
    assert torch.equal(inside, torch.where(cells > 0.5, moved, w))
    pixels = cells.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(edit.manipulate(w, direction, 3.0, pixels), inside)
    assert torch.equal(edit.manipulate(w, direction, 3.0, torch.zeros(SIZE, SIZE)), w)


def test_manipulation_strengths_and_errors() -> None:
    w, direction = tiny.stylemaps(2), torch.ones(8, 8, 8)
    row = edit.manipulate(w[:1], direction, [-1, 0, 1])
    assert torch.equal(row[1], w[0])
    assert _same(row[0] + row[2], 2 * w[0])
    with pytest.raises(ValueError, match=r"\(8, 4, 4\).*\(2, 8, 8, 8\)"):
        edit.manipulate(w, torch.ones(8, 4, 4), 1)
    with pytest.raises(ValueError, match="length above 0"):
        edit.manipulate(w, torch.zeros(8, 8, 8), 1)
    with pytest.raises(ValueError, match="length above 0, got nan"):
        edit.manipulate(w, direction * float("nan"), 1)
    with pytest.raises(ValueError, match="12 x 12 does not divide into 8 x 8"):
        edit.manipulate(w, direction, 1, torch.ones(12, 12))
    with pytest.raises(ValueError, match="3 strengths"):
        edit.manipulate(w, direction, [1, 2, 3])


def test_reconstruction_is_encode_and_decode() -> None:
    model, photos = tiny.model(), tiny.photos(2)
    assert torch.equal(edit.reconstruct(model, photos), model.decode(model.encode(photos)))


def test_samples_are_reproducible_one_by_one() -> None:
    model = tiny.model()
    assert torch.equal(edit.latents(model, 5, seed=3)[:2], edit.latents(model, 2, seed=3))
    assert not torch.equal(edit.latents(model, 2, seed=3), edit.latents(model, 2, seed=4))
    mean = model.mean_stylemap(16)
    flat = edit.sample(model, 3, truncation=0, mean_stylemap=mean, chunk=2)
    assert _same(flat, model.decode(mean).expand(3, -1, -1, -1))
    assert _same(edit.sample(model, 2, seed=1), model.sample(edit.latents(model, 2, 1)))
    with pytest.raises(ValueError, match="count"):
        edit.sample(model, 0)


def test_sequence_with_a_fixed_mask_and_with_a_moving_one() -> None:
    model, clip, reference = tiny.model(), tiny.photos(3), tiny.stylemaps(1, seed=9)

    def paste(w: Tensor, mask: Tensor | None) -> Tensor:
        assert mask is not None
        return edit.local(model, w, reference, mask)

    w = model.encode(clip)
    fixed = torch.stack(list(edit.sequence(model, clip, paste, masks=LEFT)))
    assert _same(fixed, edit.local(model, w, reference, LEFT))
    moving = torch.stack([LEFT, LEFT.T, torch.zeros_like(LEFT)])[:, None]
    moved = torch.stack(list(edit.sequence(model, iter(clip), paste, masks=moving)))
    assert _same(moved, edit.local(model, w, reference, moving))
    assert _same(moved[2:], model.decode(w[2:]))


def test_sequence_decodes_stylemaps_and_checks_results() -> None:
    model, clip = tiny.model(), tiny.photos(2)
    direction = torch.ones(8, 8, 8)
    moved = torch.stack(list(edit.sequence(model, clip, lambda w, _: edit.manipulate(w, direction, 2))))
    assert _same(moved, model.decode(edit.manipulate(model.encode(clip), direction, 2)))
    with pytest.raises(ValueError, match=r"must return an image .* got \(1, 3, 4, 4\)"):
        list(edit.sequence(model, clip, lambda w, _: torch.zeros(1, 3, 4, 4)))
    with pytest.raises(ValueError, match="only 1 masks, but frame 2"):
        list(edit.sequence(model, clip, lambda w, _: w, masks=[LEFT]))


def test_half_precision_in_half_precision_out() -> None:
    """Weights that bfloat16 cannot hold are not rounded before they are used."""
    model, w = tiny.model(torch.bfloat16), tiny.stylemaps(2, dtype=torch.bfloat16)
    assert edit.blend(model, w[:1], [w[1:]], [LEFT], weights=[0.1, 0.9]).dtype == torch.bfloat16
    assert edit.interpolate(model, w[:1], w[1:], [0.1, 0.9]).dtype == torch.bfloat16
    far = edit.manipulate(torch.zeros_like(w[:1]), torch.ones(8, 8, 8), 1001.0)
    assert far.dtype == torch.bfloat16
    assert torch.equal(far, torch.full_like(far, 1001.0 / 512**0.5))


def test_edits_are_differentiable() -> None:
    model, w = tiny.model(torch.float64), tiny.stylemaps(2, dtype=torch.float64)
    with torch.enable_grad():
        a, b = w[:1].clone().requires_grad_(True), w[1:].clone().requires_grad_(True)
        results = [
            edit.blend(model, a, [b], [LEFT], [(4, 0)], [0.5, 1.0]),
            edit.local(model, a, b, LEFT),
            edit.mix_styles(model, a, b),
            edit.interpolate(model, a, b, 0.3),
            edit.transplant(a, b, [((0, 0), (1, 1), 2, 2)]),
        ]
        for result in results:
            gradients = torch.autograd.grad(result.square().sum(), (a, b))
            assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)
