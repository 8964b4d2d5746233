"""The same edit on every frame, one in memory at a time: python examples/edit_a_clip.py [FOLDER]"""

import sys
from pathlib import Path

import torch

import stylemap
from stylemap import edit


def main(folder: Path) -> None:
    """Writes clip.gif: a face that changes, always with the glasses of another."""
    model = stylemap.load()
    faces = stylemap.demo_faces(8)
    glasses = "ellipse:0.5,0.5,0.25,0.11"
    with torch.no_grad():
        start, end, other = (model.encode(face) for face in (faces[0], faces[3], faces[7]))
        clip = edit.interpolate(model, start, end, torch.linspace(1, 0, 12))  # stands for a video's frames
        edited = edit.sequence(
            model, clip, lambda w, mask: edit.local(model, w, other, mask, space="w+"), masks=glasses
        )
        pictures = [stylemap.to_pil(frame) for frame in edited]
    pictures[0].save(folder / "clip.gif", save_all=True, append_images=pictures[1:], duration=120, loop=0)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
