"""The rasteriser: exact coverage, clipping at the border, clips, paint, labels, and refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylemap.data.path import Path, smooth
from stylemap.data.raster import SHAPE_COLUMNS, DisplayList, draw, linear, radial, solid

WHITE, RED, BLUE = np.ones(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
UNIT = np.array([[0.01, 0, 0, 0.01, 0, 0]], np.float32)  # hundredths of the image


def render(add, size=64, affine=UNIT):
    target = DisplayList(1)
    add(target.pen(affine))
    images, parts = target.draw(size, size)
    return images[0], parts[0]


def coverage(path, size=64, affine=UNIT):
    return render(lambda pen: pen.fill(path, solid(WHITE)), size, affine)[0][0].double() / 255


def polygon(points):
    path = Path().move(*points[0])
    for point in points[1:]:
        path.line(*point)
    return path.close()


def convex(angles, radius, cx, cy):
    return [(cx + radius * math.cos(a), cy + radius * math.sin(a)) for a in sorted(angles)]


def shoelace(points):
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


angle_sets = st.lists(st.floats(0, 6.28), min_size=3, max_size=8, unique=True)
inside = st.floats(35, 65)


@settings(max_examples=40, deadline=None)
@given(angle_sets, st.floats(5, 30), inside, inside)
def test_sum_of_coverage_is_the_area_of_the_polygon(angles, radius, cx, cy):
    points = convex(angles, radius, cx, cy)
    # Each of the 64² pixels is rounded to 8 bits: half a step each on the edge pixels at most.
    edge_pixels = 4 * 2 * radius * 0.64 + 8
    assert coverage(polygon(points)).sum() == pytest.approx(
        shoelace(points) * 0.64**2, abs=0.5 / 255 * edge_pixels
    )


@settings(max_examples=40, deadline=None)
@given(angle_sets, st.floats(10, 90), st.floats(-20, 120), st.floats(-20, 120))
def test_a_shape_cut_by_the_border_is_the_crop_of_the_whole_shape(angles, radius, cx, cy):
    path = polygon(convex(angles, radius, cx, cy))
    wide = np.array([[0.0025, 0, 0, 0.0025, 0.375, 0.375]], np.float32)
    whole = coverage(path, 256, wide)[96:160, 96:160]
    assert (coverage(path) - whole).abs().max() <= 1.5 / 255


def test_area_of_circle_and_ring():
    circle = Path().ellipse(50.3, 49.6, 31.7)
    assert coverage(circle).mean() == pytest.approx(math.pi * 0.317**2, rel=2e-3)
    ring = Path().ellipse(50, 50, 30).ellipse(50, 50, -20, 20)  # mirrored: the other orientation cuts a hole
    assert coverage(ring).mean() == pytest.approx(math.pi * (0.3**2 - 0.2**2), rel=4e-3)


def test_like_orientations_unite():
    both = coverage(Path().ellipse(40, 50, 20).ellipse(60, 50, 20))
    assert both.max() == 1
    assert both[32, 32] == 1


def test_stroke_covers_length_times_width_plus_round_ends():
    line = Path().move(20, 50).line(80, 50)
    image, _ = render(lambda pen: pen.stroke(line, solid(WHITE), 10), 128)
    assert image[0].double().mean() / 255 == pytest.approx(0.6 * 0.1 + math.pi * 0.05**2, rel=5e-3)


def test_a_tapered_stroke_is_wide_at_its_start():
    image, _ = render(lambda pen: pen.stroke(Path().move(20, 50).line(80, 50), solid(WHITE), 16, 2), 128)
    columns = image[0].double().sum(0) / 255
    assert columns[30] > 3 * columns[98] > 0


def test_clips_keep_inside_and_outside():
    def add(pen):
        pen.fill(Path().ellipse(50, 50, 30), None, store=0)
        square = polygon([(0, 0), (100, 0), (100, 100), (0, 100)])
        pen.fill(square, solid(RED), inside=0)
        pen.fill(square, solid(BLUE), outside=0)

    image, _ = render(add)
    disc = coverage(Path().ellipse(50, 50, 30))
    assert (image[0][disc == 1] == 255).all()
    assert (image[2][disc == 1] == 0).all()
    assert (image[2][disc == 0] == 255).all()
    assert (image[0][disc == 0] == 0).all()


def test_labels_are_where_at_least_half_of_the_pixel_is_covered():
    shape = smooth([(20.0, 30.0), (70.0, 22.0), (81.0, 64.0), (40.0, 77.0)])
    image, parts = render(lambda pen: pen.fill(shape, solid(WHITE), part=5))
    assert torch.equal(parts == 5, image[0] >= 128)
    hidden, parts_again = render(lambda pen: pen.fill(shape, None, part=5))
    assert not hidden.any()
    assert torch.equal(parts, parts_again)


def test_gradients_pass_through_their_stops():
    square = polygon([(0, 0), (100, 0), (100, 100), (0, 100)])
    image, _ = render(
        lambda pen: pen.fill(square, linear(0, 0, 100, 0, (0, RED, 1), (0.5, WHITE, 1), (1, BLUE, 1))), 100
    )
    assert image[:, 50, 0].tolist() == pytest.approx([255, 0, 0], abs=1)
    assert image[:, 50, 50].tolist() == pytest.approx([255, 255, 255], abs=1)
    assert image[:, 50, 99].tolist() == pytest.approx([0, 0, 255], abs=1)
    image, _ = render(lambda pen: pen.fill(square, radial(50, 50, 40, 20, (0, WHITE, 1), (1, RED, 1))), 100)
    assert image[1, 50, 50] >= 253
    assert image[1, 50, 91] == 0
    assert image[1, 71, 50] == 0
    assert image[1, 50, 71] > 100


def test_opacity_blends_with_what_is_below():
    square = polygon([(0, 0), (100, 0), (100, 100), (0, 100)])

    def add(pen):
        pen.fill(square, solid(RED))
        pen.fill(square, solid(BLUE, 0.5), opacity=0.5)

    image, _ = render(add, 8)
    assert image[:, 4, 4].tolist() == [191, 0, 64]


def tables():
    target = DisplayList(1)
    target.pen(UNIT).fill(Path().ellipse(50, 50, 20), solid(WHITE))
    points = torch.from_numpy(np.concatenate(target._points))
    commands = torch.tensor(target._commands, dtype=torch.uint8)
    shapes = torch.from_numpy(np.concatenate(target._shapes))
    values = torch.from_numpy(np.concatenate(target._values))
    return points, commands, shapes, values, torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 1, "outside their arrays"),
        (1, 10**6, "outside their arrays"),
        (2, -1, "outside their arrays"),
        (3, 2, "do not match"),
        (4, 9, "kind"),
        (5, 300, "parts"),
        (6, 8, "slots"),
        (8, -2, "slots"),
        (9, 7, "paint"),
    ],
)
def test_inconsistent_display_lists_are_refused(column, value, message):
    points, commands, shapes, values, first = tables()
    assert shapes.shape[1] == SHAPE_COLUMNS
    shapes[0, column] = value
    with pytest.raises(RuntimeError, match=message):
        draw(points, commands, shapes, values, first, 8, 8)


def test_bad_numbers_sizes_and_types_are_refused():
    points, commands, shapes, values, first = tables()
    with pytest.raises(RuntimeError, match="finite"):
        draw(torch.full_like(points, math.nan), commands, shapes, values, first, 8, 8)
    with pytest.raises(RuntimeError, match="finite"):
        draw(points, commands, shapes, values * math.inf, first, 8, 8)
    with pytest.raises(RuntimeError, match="number of shapes"):
        draw(points, commands, shapes, values, torch.tensor([0, 2]), 8, 8)
    with pytest.raises(RuntimeError, match="float32"):
        draw(points.double(), commands, shapes, values, first, 8, 8)
    with pytest.raises(RuntimeError, match="height"):
        draw(points, commands, shapes, values, first, 0, 8)


def test_no_image_and_no_shape():
    points, commands, shapes, values, _ = tables()
    images, parts = draw(points, commands, shapes[:0], values[:0], torch.tensor([0]), 8, 8)
    assert images.shape == (0, 3, 8, 8)
    assert parts.shape == (0, 8, 8)
    images, _ = draw(points, commands, shapes[:0], values[:0], torch.tensor([0, 0]), 8, 8)
    assert not images.any()
