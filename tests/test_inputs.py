"""Images and masks as users have them, wherever one is taken; what is shown in notebooks; public names."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import stylemap
from stylemap import EditSession, edit, images
from stylemap.engine.plans import for_inference
from tests.helpers import tiny

SIZE, CELLS = tiny.SIZE, tiny.CELLS
LEFT = edit.masks.box(SIZE, 0, 0, 0.5, 1)


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


def photo(seed: int = 0) -> Image.Image:
    return images.to_image(tiny.photos(1, seed)[0])


def as_tensor(picture: Image.Image) -> Tensor:
    return images.to_tensor(picture)[None]


def pictures(tmp_path: Path) -> dict[str, object]:
    """One picture in every form an image may have."""
    picture = photo()
    path = tmp_path / "a.png"
    picture.save(path)
    return {
        "PIL": picture,
        "numpy": np.asarray(picture),
        "path": path,
        "text": str(path),
        "tensor": as_tensor(picture),
        "with opacity": picture.convert("RGBA"),
    }


def test_an_image_in_any_form_where_one_is_taken(tmp_path: Path) -> None:
    model = tiny.model()
    expected = model.encode(as_tensor(photo()))
    session = EditSession(model)
    planned = for_inference(model, torch.device("cpu"), "fp32")
    for name, given in pictures(tmp_path).items():
        assert torch.equal(model.encode(given), expected), name
        assert torch.allclose(planned.encode(given), expected, atol=1e-4), name
        assert torch.allclose(session.stylemap(session.add(given)), expected, atol=1e-4), name
        assert torch.equal(edit.reconstruct(model, given), model.decode(expected)), name
        found = edit.invert(model, given, steps=0)
        assert torch.equal(found.start, expected), name
        (frame,) = edit.sequence(model, [given], lambda w, mask: w)
        assert torch.equal(frame[None], model.decode(expected)), name


def test_several_images_at_once() -> None:
    model, one, two = tiny.model(), photo(0), photo(1)
    expected = model.encode(torch.cat([as_tensor(one), as_tensor(two)]))
    assert torch.equal(model.encode([one, two]), expected)
    assert torch.equal(model.encode(np.stack([np.asarray(one), np.asarray(two)])), expected)
    assert torch.equal(model.encode([one, as_tensor(two)]), expected)


def test_pictures_of_any_size_are_cropped_as_photos_are(tmp_path: Path) -> None:
    wide = photo().resize((3 * SIZE, 2 * SIZE))
    wide.save(tmp_path / "wide.png")
    expected = tiny.model().encode(images.load(tmp_path / "wide.png", SIZE)[None])
    assert torch.equal(tiny.model().encode(wide), expected)
    turned = wide.rotate(90, expand=True)
    turned.getexif()[0x0112] = 6  # a quarter turn brings it upright
    assert torch.equal(tiny.model().encode(turned), expected)
    grey = np.asarray(wide.convert("L"))
    assert torch.equal(tiny.model().encode(grey), tiny.model().encode(grey[:, :, None]))


def masks_of(left: np.ndarray, tmp_path: Path) -> dict[str, object]:
    grey = Image.fromarray(left.astype(np.uint8) * 255)
    grey.save(tmp_path / "mask.png")
    return {
        "PIL": grey,
        "one bit": grey.convert("1"),
        "zeros and ones": Image.fromarray(left.astype(np.uint8)),
        "numpy bool": left,
        "numpy uint8": left.astype(np.uint8) * 255,
        "numpy classes": left.astype(np.int64),
        "numpy floats": left.astype(np.float64),
        "one channel": left[:, :, None],
        "path": tmp_path / "mask.png",
        "shape": "box:0,0,0.5,1",
        "tensor": torch.from_numpy(left),
    }


@pytest.mark.parametrize("scale", [1, 3])
def test_a_mask_in_any_form_where_one_is_taken(tmp_path: Path, scale: int) -> None:
    model, w = tiny.model(), tiny.stylemaps(2)
    session = EditSession(model)
    a, b = (session.add_stylemap(one) for one in w.split(1))
    direction = torch.ones(tiny.CONFIG.stylemap_shape)
    local = edit.local(model, w[:1], w[1:], LEFT)
    blended = session.edit(a, [session.reference(b, LEFT)])
    moved = edit.manipulate(w[:1], direction, 2.0, LEFT)
    framed = model.decode(model.encode(tiny.photos(1)) * LEFT[::4, ::4])[0]
    for name, given in masks_of(LEFT.numpy().repeat(scale, 0).repeat(scale, 1), tmp_path).items():
        if name == "tensor" and scale != 1:
            continue
        assert torch.equal(edit.local(model, w[:1], w[1:], given), local), name
        assert torch.equal(session.edit(a, session.reference(b, given)), blended), name
        assert torch.equal(edit.manipulate(w[:1], direction, 2.0, given), moved), name
        silenced = edit.modulate_map(w[:1], torch.zeros(1, CELLS, CELLS), 1, given)
        assert torch.equal(silenced == 0, (moved != w[:1])), name
        (frame,) = edit.sequence(
            model, [tiny.photos(1)[0]], lambda w, mask: w * (mask[..., ::4, ::4] > 0.5), masks=given
        )
        assert torch.equal(frame, framed), name


def test_shapes_are_written_as_text() -> None:
    assert torch.equal(
        edit.masks.drawn("ellipse:0.5,0.5,0.25,0.25", 64), edit.masks.ellipse(64, 0.5, 0.5, 0.25, 0.25)
    )
    assert torch.equal(edit.masks.drawn("box:0,0,16,64", 64), edit.masks.box(64, 0, 0, 0.25, 1))
    session = EditSession(tiny.model())
    with pytest.raises(ValueError, match=r"no kind of mask is called 'elipse'; did you mean ellipse\?"):
        session.reference(session.add(photo()), "elipse:0.5,0.5,0.1,0.1")
    with pytest.raises(ValueError, match="the kinds are box and ellipse"):
        session.reference(session.add(photo()), "zzz:1,2")
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        session.reference(session.add(photo()), "missing.png")


def test_references_and_masks_in_one_tensor() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    both = torch.stack([LEFT, LEFT.T])[:, None]
    expected = edit.blend(model, w[:1], [w[1:2], w[2:]], [LEFT, LEFT.T], [(4, 0), (4, 0)])
    assert torch.equal(edit.blend(model, w[:1], w[1:], both, [(4, 0), (4, 0)]), expected)
    assert torch.equal(edit.blend(model, w[:1], w[1:], both[:, 0], (4, 0)), expected)
    assert torch.equal(edit.blend(model, w[:1], w[1:], both[:, 0].numpy(), (4, 0)), expected)
    single = edit.blend(model, w[:1], [w[1:2]], [LEFT])
    for reference, mask in ((w[1:2], LEFT), (w[1], LEFT[None]), (w[1:2], "box:0,0,0.5,1")):
        assert torch.equal(edit.blend(model, w[:1], reference, mask), single)


def test_errors_name_the_argument_and_both_shapes() -> None:
    model, w = tiny.model(), tiny.stylemaps(3)
    three = torch.zeros(3, 1, SIZE, SIZE)
    with pytest.raises(
        ValueError, match=r"masks: expected 2, .*reference_ws \(2 x 8 x 8 x 8\), got 3 \(3 x 1 x 32"
    ):
        edit.blend(model, w[:1], w[1:], three)
    with pytest.raises(ValueError, match=r"masks: expected 2, .*got 1 \(32 x 32\)"):
        edit.blend(model, w[:1], w[1:], LEFT)
    with pytest.raises(ValueError, match=r"shifts: expected 2 pairs .*reference_ws \(2 x 8 x 8 x 8\), got 1"):
        edit.blend(model, w[:1], w[1:], three[:2], [(0, 0)])
    with pytest.raises(ValueError, match=r"masks\[1\] must be 32 x 32 .* got 16 x 16"):
        edit.blend(model, w[:1], w[1:], [LEFT, torch.zeros(16, 16)])
    with pytest.raises(
        ValueError, match=r"original_w and reference_ws\[1\] .*\(1, 8, 8, 8\) and \(1, 8, 4, 4\)"
    ):
        edit.blend(model, w[:1], [w[1:2], torch.zeros(1, 8, 4, 4)], [LEFT, LEFT])
    session = EditSession(model)
    handle = session.add(photo())
    with pytest.raises(ValueError, match="mask: a reference has one, 32×32; got 3×1×32×32"):
        session.reference(handle, three)
    with pytest.raises(
        TypeError, match=r"references\[0\]: expected one from session.reference, got ImageHandle"
    ):
        session.edit(handle, [handle])
    with pytest.raises(TypeError, match=r"images: expected numpy pixels of uint8, got float64"):
        session.add(np.zeros((SIZE, SIZE, 3)))
    with pytest.raises(ValueError, match=r"images: expected numpy pixels H×W×3, got 3×32×32"):
        session.add(np.zeros((3, SIZE, SIZE), np.uint8))
    with pytest.raises(TypeError, match=r"images: expected a tensor, PIL images, numpy pixels .* got int"):
        session.add(5)
    with pytest.raises(ValueError, match=r"images: expected images of one size, got 1×3×32×32, 1×3×16×16"):
        model.encode([photo(), torch.zeros(1, 3, 16, 16)])
    with pytest.raises(ValueError, match="mask: expected a numpy array H×W, got 32×32×3"):
        session.reference(handle, np.zeros((SIZE, SIZE, 3)))
    with pytest.raises(TypeError, match=r"mask: expected a tensor, .* got int"):
        session.reference(handle, 7)


def test_one_reference_needs_no_list() -> None:
    session = EditSession(tiny.model())
    a, b = session.add(photo(0)), session.add(photo(1))
    part = session.reference(b, LEFT)
    assert torch.equal(session.edit(a, part), session.edit(a, [part]))
    assert torch.equal(session.frames(a, part, [0, 1]), session.frames(a, [part], [0, 1]))
    assert torch.equal(session.edit(a, part, preview=True), session.edit(a, [part], preview=True))


def test_results_become_pictures() -> None:
    session = EditSession(tiny.model())
    a = session.add(photo())
    result = session.edit(a)
    picture = stylemap.to_pil(result)
    assert (picture.size, picture.mode) == ((SIZE, SIZE), "RGB")
    assert stylemap.to_pil(result[None]) == picture
    assert a.image() == picture
    with pytest.raises(ValueError, match=r"got \(2, 3, 32, 32\): convert the images of a batch singly"):
        stylemap.to_pil(torch.zeros(2, 3, SIZE, SIZE))


def _png(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


def test_in_a_notebook() -> None:
    model = tiny.model()
    assert repr(model).startswith("StyleMapGAN(images 32×32, stylemap 8×8×8, generator full, ")
    assert repr(for_inference(model, torch.device("cpu"), "fp32")).startswith("PlannedModel(images 32×32")
    assert "<td style='text-align:left'>8×8×8</td>" in model._repr_html_()
    session = EditSession(model)
    assert repr(session) == "EditSession(32×32, fp32; no images)"
    a, b = session.add(photo(0)), session.add(photo(1))
    part = session.reference(b, LEFT, (8, 0))
    assert repr(session) == f"EditSession(32×32, fp32 on cpu; 2 images: {a.number}, {b.number})"
    assert repr(part) == f"EditReference(image {b.number}, mask over 50% of 32×32, shift (8, 0))"
    assert _png(a._repr_png_()).size == (SIZE, SIZE)
    shown, whole = np.asarray(_png(part._repr_png_())), np.asarray(b.image())
    assert (shown[:, SIZE // 2 :] == whole[:, SIZE // 2 :]).all()
    assert (shown[:, : SIZE // 2] != whole[:, : SIZE // 2]).any()
    assert session._repr_html_().count("data:image/png;base64,") == 2
    session.remove(a)
    assert a._repr_png_() is None
    with pytest.raises(ValueError, match="is not in this session"):
        a.image()
    del session
    with pytest.raises(ValueError, match="its session is gone"):
        b.image()


def test_the_bundled_model_and_faces() -> None:
    model = stylemap.load()
    assert model.config == stylemap.load("demo").config
    first, second = stylemap.demo_faces(2, size=model.config.size)
    assert first.size == (model.config.size, model.config.size)
    assert first != second
    assert stylemap.demo_faces(1, size=model.config.size) == [first]
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        stylemap.demo_faces(0)


def test_a_copy_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylemap.assets.FOLDER", tmp_path)
    with pytest.raises(stylemap.CheckpointError, match="demo: this copy of stylemap bundles no model"):
        stylemap.load()


@pytest.mark.parametrize(
    "name",
    "stylemap assets checkpoint config data.faces edit edit.masks export images inputs metrics model ops "
    "photo sheets train video".split(),
)
def test_public_modules_show_their_public_names(name: str) -> None:
    module = importlib.import_module("stylemap" if name == "stylemap" else f"stylemap.{name}")
    assert dir(module) == sorted(module.__all__)
    for public in module.__all__:
        if (name, public) != ("export", "export_onnx"):  # needs the onnx package
            assert getattr(module, public) is not None


def test_no_other_public_name_is_defined() -> None:
    """What a public module defines itself without an underscore is in its __all__."""
    for name in ("assets", "config", "edit.masks", "images", "inputs", "sheets"):
        module = importlib.import_module(f"stylemap.{name}")
        own = {
            key
            for key, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not key.startswith("_")
        }
        assert own <= set(module.__all__), name


def test_the_first_example() -> None:
    """Pictures in, a picture out: the mouth of another face, and the rest as it was decoded before."""
    session = EditSession(stylemap.load())
    faces = stylemap.demo_faces(5)
    original, other = session.add(faces[3]), session.add(faces[4])
    part = session.reference(other, "ellipse:0.5,0.68,0.22,0.14")
    result = stylemap.to_pil(session.edit(original, part))
    assert result.size == faces[3].size
    change = np.abs(np.asarray(result).astype(int) - np.asarray(original.image())).mean(-1)
    assert change[75:100, 45:85].mean() > 10
    assert change[:40].mean() < 1
