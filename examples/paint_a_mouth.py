"""A part of one face into another, and a clip of it fading in: python examples/paint_a_mouth.py [FOLDER]"""

import sys
from pathlib import Path

import stylemap
from stylemap import edit


def main(folder: Path) -> None:
    """Writes before.png, after.png and fading.gif."""
    original, other = stylemap.demo_faces(5)[3:]  # yours: PIL.Image.open("me.jpg")
    session = stylemap.EditSession(stylemap.load())  # yours: stylemap.load("checkpoint.pt")
    mine, theirs = session.add(original), session.add(other)
    mouth = session.reference(theirs, "ellipse:0.5,0.7,0.2,0.12")
    strip = session.frames(mine, mouth, edit.frame_weights(16))
    pictures = [stylemap.to_pil(frame) for frame in strip]
    original.save(folder / "before.png")
    pictures[-1].save(folder / "after.png")
    pictures[0].save(folder / "fading.gif", save_all=True, append_images=pictures[1:], duration=80, loop=0)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
