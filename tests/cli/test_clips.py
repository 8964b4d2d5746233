"""Videos edited frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylemap import edit, images, video
from stylemap.cli import clips, main, masks
from stylemap.engine.session import EditSession
from stylemap.files import only_writer
from stylemap.photo import FFHQ, Crop, Landmarks, Photo, align, faces
from stylemap.photo.follow import Follower
from tests.helpers import needs, tiny
from tests.video import clips as films

SIZE = tiny.SIZE
LEFT = edit.masks.box(SIZE, 0, 0, 0.5, 1)
pytestmark = needs.installed("av")


def pictures(count: int, width: int = SIZE, height: int = SIZE) -> Iterator[Image.Image]:
    for index in range(count):
        yield images.to_image(tiny.photos(1, seed=index)[0]).resize((width, height))


def _grey(mask: Tensor, side: int = SIZE) -> Image.Image:
    return Image.fromarray(mask.numpy().astype(np.uint8) * 255).convert("RGB").resize((side, side), 0)


@pytest.fixture
def run(model_file: str, photos: Path) -> object:
    def call(film: Path, mask: object, output: Path, *more: object) -> None:
        arguments = [
            "--original",
            film,
            "--reference",
            photos / "p1.png",
            "--mask",
            mask,
            "-o",
            output,
            *more,
        ]
        assert main(["edit", *map(str, arguments), "--model", model_file]) == 0

    return call


def _expected(photos: Path, count: int, masks: list[Tensor]) -> list[Tensor]:
    model = tiny.model()
    with torch.no_grad():
        reference = model.encode(photos / "p1.png")
        return [
            edit.blend(model, model.encode(picture), [reference], [mask])[0]
            for picture, mask in zip(pictures(count), masks)
        ]


def _close(path: Path, expected: Tensor) -> bool:
    found = np.asarray(Image.open(path)).astype(int)
    return bool(np.abs(found - np.asarray(images.to_image(expected)).astype(int)).max() <= 1)


def _difference(a: Image.Image, b: Image.Image) -> float:
    """Of the lightness, which videos keep at full resolution."""
    return float(np.abs(np.asarray(a.convert("L")).astype(int) - np.asarray(b.convert("L"))).mean())


def test_frames_in_a_folder(run, photos: Path, tmp_path: Path, mask_file: Path) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(5))
    run(film, mask_file, tmp_path / "out")
    names = [f"in_{index:06d}.png" for index in range(5)]
    assert sorted(os.listdir(tmp_path / "out")) == [*names, "sheet.png"]
    for name, image in zip(names, _expected(photos, 5, [LEFT] * 5)):
        assert _close(tmp_path / "out" / name, image)


def test_a_video_with_its_sound(
    run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(30))
    run(film, "box:0,0,0.5,1", tmp_path / "out.mp4")
    captured = capsys.readouterr()
    assert captured.out.startswith(f"wrote {tmp_path / 'out.mp4'} (30 frames), contact sheet ")
    assert "edit: 30/30" in captured.err
    clip = video.Clip(tmp_path / "out.mp4")
    found = list(clip)
    assert (clip.rate, len(found)) == (25, 30)
    assert films.packets_of_sound(tmp_path / "out.mp4") == films.packets_of_sound(film)
    for (frame, _), image in zip(found, _expected(photos, 30, [LEFT] * 30)):
        assert _difference(frame, images.to_image(image)) < 8
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4", "out_sheet.png"]


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_masks_that_move(run, photos: Path, tmp_path: Path, kind: str) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(4))
    masks = [edit.masks.box(SIZE, i / 4, 0, (i + 1) / 4, 1) for i in range(4)]
    moving = tmp_path / ("masks" if kind == "folder" else "masks.mp4")
    if kind == "folder":
        for index, mask in enumerate(masks):
            (moving / "x").parent.mkdir(exist_ok=True)
            _grey(mask).save(moving / f"{index}.png")
    else:
        films.write(moving, map(_grey, masks), sound=False)
    run(film, moving, tmp_path / "out", "--no-sheet")
    for index, image in enumerate(_expected(photos, 4, masks)):
        assert _close(tmp_path / "out" / f"in_{index:06d}.png", image)


def test_masks_as_large_as_the_frames(run, photos: Path, tmp_path: Path) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(2, 2 * SIZE, 2 * SIZE), sound=False)
    _grey(LEFT, 2 * SIZE).save(tmp_path / "mask.png")
    run(film, tmp_path / "mask.png", tmp_path / "a", "--no-sheet")
    run(film, "box:0,0,0.5,1", tmp_path / "b", "--no-sheet")
    for name in sorted(os.listdir(tmp_path / "a")):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("mode", ["w", "w+"])
def test_modes(run, photos: Path, tmp_path: Path, mode: str) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(2), sound=False)
    run(film, "box:0,0,0.5,1", tmp_path / "out", "--mode", mode)
    model = tiny.model()
    with torch.no_grad():
        reference = model.encode(photos / "p1.png")
        for index, picture in enumerate(pictures(2)):
            expected = edit.local(model, model.encode(picture), reference, LEFT, space=mode)[0]
            assert _close(tmp_path / "out" / f"in_{index:06d}.png", expected)


def test_a_gif_in_and_out(run, tmp_path: Path) -> None:
    writer = video.open_writer(tmp_path / "in.gif", 10)
    for picture in pictures(3):
        writer.add(picture)
    writer.finish()
    run(tmp_path / "in.gif", "box:0,0,0.5,1", tmp_path / "out.gif", "--no-sheet")
    found = Image.open(tmp_path / "out.gif")
    assert (found.n_frames, found.info["duration"]) == (3, 100)


def test_other_commands_take_videos(model_file: str, tmp_path: Path) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(3), sound=False)
    model = ["--model", model_file, "--no-sheet"]
    with only_writer(tmp_path / "r"):
        assert main(["reconstruct", str(film), "-o", str(tmp_path / "r"), *model]) == 1
        assert not list((tmp_path / "r").iterdir())
    assert main(["reconstruct", str(film), "-o", str(tmp_path / "r"), *model]) == 0
    np.save(tmp_path / "d.npy", np.ones(tiny.CONFIG.stylemap_shape, np.float32))
    direction = ["--direction", str(tmp_path / "d.npy"), "--strength", "2"]
    assert main(["manipulate", str(film), *direction, "-o", str(tmp_path / "m"), *model]) == 0
    with torch.no_grad():
        for index, picture in enumerate(pictures(3)):
            w = tiny.model().encode(picture)
            assert _close(tmp_path / "r" / f"in_{index:06d}.png", tiny.model().decode(w)[0])
            moved = edit.manipulate(w, torch.ones(tiny.CONFIG.stylemap_shape), 2.0)
            assert _close(tmp_path / "m" / f"in_{index:06d}.png", tiny.model().decode(moved)[0])


def test_one_session_holds_one_frame(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions made: one. Images in it at any time: the reference and a frame."""
    sessions, most = set(), []
    edited = EditSession.edit

    def watched(self: EditSession, *arguments: object, **options: object) -> Tensor:
        sessions.add(id(self))
        most.append(self.stats()["images"])
        return edited(self, *arguments, **options)

    monkeypatch.setattr(EditSession, "edit", watched)
    film = films.write(tmp_path / "in.mp4", pictures(6), sound=False)
    run(film, "box:0,0,0.5,1", tmp_path / "out.mp4", "--no-sheet")
    assert len(sessions) == 1
    assert most == [2] * 6


def _resident() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory is read from /proc")
def test_memory_is_flat(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form: what 150 frames add after the first 50; their pixels alone would be 17 MB."""
    side, memory = 192, []
    convert = clips.images.to_image

    def watched(image: Tensor) -> Image.Image:
        memory.append(_resident())
        return convert(image).resize((side, side))

    film = films.write(tmp_path / "in.mp4", pictures(200, side, side), sound=True)
    monkeypatch.setattr("stylemap.cli.clips.images.to_image", watched)
    run(film, "box:0,0,0.5,1", tmp_path / "out.mp4", "--no-sheet")
    assert len(memory) == 200
    assert max(memory[150:]) - max(memory[:50]) < 6


def test_refusals(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = films.write(tmp_path / "in.mp4", pictures(3), sound=False)
    kept = film.read_bytes()

    def line(*arguments: object, original: Path = film, mask: object = "box:0,0,0.5,1") -> str:
        pair = [
            "--original",
            original,
            "--reference",
            photos / "p1.png",
            "--mask",
            mask,
            "--model",
            model_file,
        ]
        assert main(["edit", *map(str, [*pair, *arguments])]) == 1
        return capsys.readouterr().err.splitlines()[-1]

    output = ("-o", tmp_path / "out.mp4")
    assert "is an input" in line("-o", film)
    assert "cannot go into one file" in line("-o", tmp_path / "x.png")
    assert "--frames is of photos" in line(*output, "--frames", 3)
    _grey(LEFT, 40).save(tmp_path / "mask.png")
    assert "mask.png is 40 x 40; it must be 32 x 32" in line(*output, mask=tmp_path / "mask.png")
    short = films.write(tmp_path / "short.mp4", map(_grey, [LEFT, LEFT]), sound=False)
    assert "short.mp4 holds 2 masks, but frame 3 needs one" in line(*output, mask=short)
    (tmp_path / "broken.mp4").write_bytes(kept[: len(kept) // 2])
    assert "broken.mp4 is not a video" in line(*output, original=tmp_path / "broken.mp4")
    assert "no such file" in line(*output, original=tmp_path / "missing.mp4").lower()
    assert main(["reconstruct", str(film), str(photos / "p0.png"), "-o", "x", "--model", model_file]) == 1
    assert "a video is edited alone" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()
    assert film.read_bytes() == kept


# Whole frames: of those that were shot, a square is edited and returns into its frame.

EYES = np.array([(-12, -8), (12, -8), (0, 2), (-9, 14), (9, 14)], np.float64)


def _shot(count: int) -> list[Image.Image]:
    """Frames of 120 x 90 with smooth colours, which differ."""
    found = []
    for index in range(count):
        coarse = np.random.default_rng(index).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        found.append(Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC))
    return found


def _crops(monkeypatch: pytest.MonkeyPatch, places: list[tuple[float, float] | None]) -> None:
    """Faces are found there in frame after frame."""
    left = iter(places)

    def near(frame: Photo, before: Landmarks | None) -> Landmarks:
        place = next(left)
        if place is None:
            raise faces.NoFaceError(frame.name)
        return Landmarks.of(EYES + place)

    monkeypatch.setattr(faces, "near", near)


def _edited(frame: Image.Image, crop: Crop, photos: Path) -> np.ndarray:
    """By the library."""
    model, photo = tiny.model(), Photo(frame)
    with torch.no_grad():
        w = model.encode(photo.cut(crop, SIZE)[None])
        after = edit.blend(model, w, [model.encode(photos / "p1.png")], [LEFT])[0]
        pasted = photo.paste(crop, model.decode(w)[0], after, mask=LEFT)
    return np.asarray(pasted.pixels).astype(int)


def _frames_in(folder: Path) -> list[np.ndarray]:
    files = sorted(folder.glob("in_*.png"))
    return [np.asarray(Image.open(file)).astype(int) for file in files]


def test_a_box_that_follows_the_face(
    run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = _shot(5)
    film = films.write(tmp_path / "in.mp4", shot, sound=False)
    places = [(50, 40), (54, 41), None, (62, 43), (66, 44)]
    _crops(monkeypatch, places)
    references = ["--reference-crop", "0.5,0.5,1", "--no-sheet"]
    run(film, "box:0,0,0.5,1", tmp_path / "out", "--align", *references)
    _crops(monkeypatch, places)
    follower = Follower(find=lambda frame, before: faces.near(frame, before))
    crops = [follower.crop(Photo(frame), index / films.RATE) for index, frame in enumerate(shot)]
    assert crops[2] == crops[1]
    found = _frames_in(tmp_path / "out")
    assert len(found) == 5
    for image, frame, crop in zip(found, shot, crops):
        assert np.abs(image - _edited(frame, crop, photos)).max() <= 1
        place = crop.to_square(np.stack(np.meshgrid(np.arange(120) + 0.5, np.arange(90) + 0.5), -1))
        outside = ((place < 0) | (place > 1)).any(-1)
        assert (image[outside] == np.asarray(frame)[outside]).all()
    assert "no face was found in 1 of 5 frames: the crop stayed where it was" in capsys.readouterr().err


def test_crops_of_a_video(run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand and of the first frame: one for all; masks as large as the frames are cut as they are."""
    shot = _shot(3)
    film = films.write(tmp_path / "in.mp4", shot, sound=False)
    reference = ["--reference-crop", "0.5,0.5,1", "--no-sheet"]
    run(film, "box:0,0,0.5,1", tmp_path / "hand", "--crop", "60,45,70", *reference)
    for image, frame in zip(_frames_in(tmp_path / "hand"), shot):
        assert np.abs(image - _edited(frame, Crop((60, 45), 70), photos)).max() <= 1
    mask = Image.new("L", (120, 90))
    mask.paste(255, (0, 0, 60, 90))
    mask.save(tmp_path / "mask.png")
    run(film, tmp_path / "mask.png", tmp_path / "mask", "--crop", "60,45,70", *reference)
    for a, b in zip(_frames_in(tmp_path / "mask"), _frames_in(tmp_path / "hand")):
        assert (a == b).all()
    monkeypatch.setattr(faces, "landmarks", lambda photo: Landmarks.of(EYES + np.array([50, 40])))
    run(film, "box:0,0,0.5,1", tmp_path / "first", "--align", "--crops", "first", *reference)
    crop = align(Landmarks.of(EYES + np.array([50, 40])), FFHQ)
    for image, frame in zip(_frames_in(tmp_path / "first"), shot):
        assert np.abs(image - _edited(frame, crop, photos)).max() <= 1


def test_a_mask_of_frames_follows_too(
    run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The left half of the frame, as the crop moves from left to right over it, is more and then less."""
    shot = _shot(4)
    film = films.write(tmp_path / "in.mp4", shot, sound=False)
    mask = Image.new("L", (120, 90))
    mask.paste(255, (0, 0, 60, 90))
    mask.save(tmp_path / "mask.png")
    _crops(monkeypatch, [(40, 40), (55, 40), (70, 40), (85, 40)])
    shares = []
    read = masks.MaskReader.read

    def watched(self: masks.MaskReader, *given: object) -> Tensor:
        found = read(self, *given)
        shares.append(float(found.float().mean()))
        return found

    monkeypatch.setattr(masks.MaskReader, "read", watched)
    run(
        film,
        tmp_path / "mask.png",
        tmp_path / "out",
        "--align",
        "--reference-crop",
        "0.5,0.5,1",
        "--no-sheet",
    )
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] > 0.3


def test_other_commands_return_whole_frames(model_file: str, tmp_path: Path) -> None:
    shot = _shot(2)
    film = films.write(tmp_path / "in.mp4", shot, sound=False)
    crop = ["--crop", "60,45,70", "--model", model_file, "--no-sheet"]
    np.save(tmp_path / "d.npy", np.ones(tiny.CONFIG.stylemap_shape, np.float32))
    direction = ["--direction", str(tmp_path / "d.npy"), "--strength", "20"]
    for name, more in (("reconstruct", []), ("manipulate", direction)):
        output = ["-o", str(tmp_path / name)]
        assert main([name, str(film), *more, *output, *crop]) == 0
        for image, frame in zip(_frames_in(tmp_path / name), shot):
            assert image.shape == (90, 120, 3)
            assert (image[:, :20] == np.asarray(frame)[:, :20]).all()
            assert (image != np.asarray(frame)).any()


def test_a_folder_of_frames_may_be_followed(
    run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(_shot(3)):
        frame.save(folder / f"in_{index}.png")
    _crops(monkeypatch, [(50, 40), (54, 41), None])
    more = ["--align", "--crops", "follow", "--reference-crop", "0.5,0.5,1", "--no-sheet"]
    run(folder, "box:0,0,0.5,1", tmp_path / "out", *more)
    assert len(_frames_in(tmp_path / "out")) == 3
    assert f"no face was found in {folder / 'in_2.png'}: its crop is" in capsys.readouterr().err
