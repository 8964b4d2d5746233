"""Generated faces: same bytes everywhere, masks and labels that agree with the pictures."""

import hashlib
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylemap.data.faces import (
    BINARY,
    CATEGORICAL,
    LABEL_NAMES,
    Attributes,
    FacesDataset,
    Part,
    class_names,
    classes,
    labels,
    render,
    sample_attributes,
)
from stylemap.data.faces.attributes import CLOTHES_STYLES
from stylemap.data.faces.dataset import HELD_OUT
from stylemap.data.faces.labels import MIRRORED

COUNT, SIZE = 160, 128


@pytest.fixture(scope="module")
def faces():
    attributes = sample_attributes(11, range(COUNT))
    return attributes, *render(attributes, SIZE)


def label(attributes: Attributes, name: str) -> np.ndarray:
    return BINARY[name](attributes)


def has(parts: torch.Tensor, part: Part, least: int = 1) -> np.ndarray:
    return ((parts == int(part)).flatten(1).sum(1) >= least).numpy()


# Of the images and part maps of faces 0 … 31: what trained models and their figures depend on.
@pytest.mark.parametrize(
    ("seed", "size", "expected"),
    [
        (0, 64, "786bcfd3a986e878662dac1ea345179f"),
        (7, 128, "3af0a9594e1b9feaea95c01aad157dcc"),
        (123, 96, "367f26834963da1b7047b2ecccca5c00"),
    ],
)
def test_bytes_are_the_committed_ones(seed, size, expected):
    images, parts = render(sample_attributes(seed, range(32)), size)
    digest = hashlib.sha256(images.numpy().tobytes() + parts.numpy().tobytes()).hexdigest()
    assert digest[:32] == expected


def test_a_face_depends_on_seed_and_index_alone(faces):
    _, images, parts = faces
    chosen = [150, 3, 77]
    again, parts_again = render(sample_attributes(11, chosen), SIZE)
    assert torch.equal(again, images[chosen])
    assert torch.equal(parts_again, parts[chosen])
    other, _ = render(sample_attributes(12, chosen), SIZE)
    assert (other != again).flatten(1).any(1).all()


def test_threads_do_not_change_the_bytes(faces):
    attributes, images, parts = faces
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            again, parts_again = render(attributes.take(np.arange(40)), SIZE)
            assert torch.equal(again, images[:40])
            assert torch.equal(parts_again, parts[:40])
    finally:
        torch.set_num_threads(before)


def test_half_the_resolution_is_the_mean_of_four_pixels(faces):
    attributes, images, _ = faces
    rows = np.arange(24)
    fine, _ = render(attributes.take(rows), 2 * SIZE)
    difference = F.avg_pool2d(fine.float(), 2) - images[rows].float()
    assert difference.abs().mean() < 0.5  # half a step of the 8-bit values that were rounded twice
    # Where edges of several shapes share a pixel, blending one after the other depends on the resolution;
    # picking every other pixel instead of averaging would give 6 to 9.
    assert difference.square().flatten(1).mean(1).sqrt().max() < 2


def test_part_maps_of_two_resolutions_agree(faces):
    attributes, _, parts = faces
    rows = np.arange(24)
    _, fine = render(attributes.take(rows), 2 * SIZE)
    assert (fine[:, ::2, ::2] == parts[rows]).float().mean() > 0.97


def test_every_face_has_its_parts(faces):
    _, _, parts = faces
    assert set(parts.unique().tolist()) == {int(part) for part in Part}
    for part in (Part.BACKGROUND, Part.SKIN, Part.EYES, Part.NOSE, Part.MOUTH, Part.CLOTHES):
        assert has(parts, part, 12).all(), part


def test_labels_agree_with_the_masks(faces):
    attributes, _, parts = faces
    assert np.array_equal(has(parts, Part.GLASSES), label(attributes, "glasses"))
    assert np.array_equal(has(parts, Part.HAT), label(attributes, "hat"))
    hairy = label(attributes, "beard") | label(attributes, "moustache")
    assert np.array_equal(has(parts, Part.BEARD), hairy)
    assert np.array_equal(has(parts, Part.EARRINGS), label(attributes, "earrings"))
    assert np.array_equal(~has(parts, Part.HAIR), label(attributes, "bald"))


def test_smiles_go_up_and_frowns_go_down(faces):
    """In the mouth's mask: the outer columns against the middle ones."""
    attributes, _, parts = faces
    upright = np.abs(attributes.tilt) < 0.03
    bend = np.array([_bend(mask) for mask in (parts == int(Part.MOUTH)).numpy()])
    smiling, frowning = label(attributes, "smiling") & upright, label(attributes, "frowning") & upright
    assert smiling.sum() > 20
    assert frowning.sum() > 5
    assert bend[smiling].min() > bend[frowning].max()


def _bend(mask: np.ndarray) -> float:
    rows, columns = np.nonzero(mask)
    width = columns.max() - columns.min()
    outer = np.abs(columns - (columns.max() + columns.min()) / 2) > 0.42 * width
    middle = np.abs(columns - (columns.max() + columns.min()) / 2) < 0.1 * width
    return float(rows[middle].mean() - rows[outer].mean())


@pytest.mark.parametrize(
    ("part", "field"),
    [(Part.SKIN, "skin"), (Part.HAIR, "hair"), (Part.HAT, "hat"), (Part.CLOTHES, "clothes")],
)
def test_masks_hold_the_colours_of_their_parts(faces, part, field):
    attributes, images, parts = faces
    wanted, seen = [], []
    for i in range(COUNT):
        mask = parts[i] == int(part)
        lightened = part is Part.CLOTHES and attributes.clothes_style[i] == CLOTHES_STYLES.index("shirt")
        if mask.sum() >= 200 and not lightened:
            wanted.append(getattr(attributes, field)[i])
            seen.append(images[i][:, mask].float().median(1).values.numpy() / 255)
    for channel in range(3):
        measured = np.corrcoef(np.array(wanted)[:, channel], np.array(seen)[:, channel])[0, 1]
        assert measured > 0.85


def test_eyes_are_at_the_same_height_in_all_faces(faces):
    _, _, parts = faces
    rows = torch.arange(SIZE)[None, :, None].expand_as(parts)
    heights = torch.stack(
        [row[part == int(Part.EYES)].float().mean() for row, part in zip(rows, parts, strict=True)]
    )
    assert (heights / SIZE - 0.52).abs().max() < 0.04


def test_binary_labels_are_neither_rare_nor_everywhere():
    values = labels(sample_attributes(5, range(4000)))
    assert values.dtype == np.float32
    assert values.shape == (4000, len(LABEL_NAMES))
    shares = values[:, : len(BINARY)].mean(0)
    assert ((shares > 0.03) & (shares < 0.7)).all()


def test_smile_leaves_a_gap_between_moods():
    smile = sample_attributes(5, range(4000)).smile
    assert not ((smile > 0.15) & (smile < 0.39)).any()
    assert not ((smile < -0.15) & (smile > -0.37)).any()


def test_indices_must_make_sense():
    with pytest.raises(ValueError, match="seed"):
        sample_attributes(-1, [0])
    with pytest.raises(ValueError, match="size"):
        render(sample_attributes(0, [0]), 0)
    images, parts = render(sample_attributes(0, []), 32)
    assert images.shape == (0, 3, 32, 32)
    assert parts.shape == (0, 32, 32)


def test_dataset_items_and_held_out_range():
    train, held_out = FacesDataset(32, 10, seed=3), FacesDataset(32, 10, seed=3, held_out=True)
    item = train[4]
    assert item.shape == (3, 32, 32)
    assert item.dtype == torch.float32
    assert -1 <= item.min() < item.max() <= 1
    images, _ = render(sample_attributes(3, [4, HELD_OUT + 4]), 32)
    assert torch.equal(item, images[0].float() / 127.5 - 1)
    assert torch.equal(held_out[4], images[1].float() / 127.5 - 1)
    assert len(train) == 10
    with pytest.raises(IndexError, match="10 images"):
        train[10]


def test_mirrored_items_come_with_mirrored_masks_and_labels():
    plain, flipped = FacesDataset(32, 40, seed=1), FacesDataset(32, 40, seed=1, flip=True)
    rows = range(40)
    turned = torch.from_numpy(flipped.mirrored(rows))
    assert 8 < turned.sum() < 32
    assert torch.equal(flipped.batch(rows)[turned], plain.batch(rows)[turned].flip(3))
    assert torch.equal(flipped.batch(rows)[~turned], plain.batch(rows)[~turned])
    assert torch.equal(flipped.parts(rows)[turned], plain.parts(rows)[turned].flip(2))
    signs = torch.tensor([-1.0 if name in MIRRORED else 1.0 for name in LABEL_NAMES])
    assert torch.equal(flipped.labels(rows)[turned], plain.labels(rows)[turned] * signs)


def test_preloading_changes_nothing():
    lazy, kept = FacesDataset(32, 50, seed=2), FacesDataset(32, 50, seed=2).preload(chunk=16)
    assert torch.equal(lazy.batch([0, 17, 49]), kept.batch([0, 17, 49]))


@pytest.mark.speed
def test_two_hundred_faces_a_second_on_one_core():
    """In seconds of processor time, so that a busy machine does not matter."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        FacesDataset(128, 1000).raw(range(64))
        start = time.process_time()
        for first in range(64, 320, 64):
            FacesDataset(128, 1000).raw(range(first, first + 64))
        rate = 256 / (time.process_time() - start)
    finally:
        torch.set_num_threads(before)
    assert rate >= 200, f"{rate:.0f} faces per second"


@pytest.mark.parametrize("label", [*CATEGORICAL, "glasses", "beard_style+glasses", "smiling+hat+hair_colour"])
def test_classes_are_those_of_the_attributes(faces, label: str) -> None:
    attributes = faces[0]
    names, found = class_names(label), classes(attributes, label)
    assert len(set(names)) == len(names)
    for index in range(COUNT):
        expected = []
        for part in label.split("+"):
            if part in CATEGORICAL:
                values, read = CATEGORICAL[part]
                expected.append(values[int(read(attributes)[index])])
            else:
                expected.append(part if BINARY[part](attributes)[index] else f"no {part}")
        assert names[found[index]] == ", ".join(expected)


def test_ten_classes_of_beard_and_glasses() -> None:
    assert len(class_names("beard_style+glasses")) == 10
    counts = np.bincount(classes(sample_attributes(0, range(4000)), "beard_style+glasses"), minlength=10)
    assert counts.min() > 10
    with pytest.raises(ValueError, match="no label 'height'"):
        class_names("beard_style+height")
