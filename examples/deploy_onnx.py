"""Export a model and edit with the files alone: python examples/deploy_onnx.py [FOLDER]

Wants the extra: pip install -e '.[export]'
"""

import sys
from pathlib import Path

import stylemap
from stylemap.export import Runtime, export_onnx


def main(folder: Path) -> None:
    """Writes the ONNX files, each compared with the model, and deployed.png."""
    export_onnx(stylemap.load(), folder / "onnx", progress=print)
    runtime = Runtime(folder / "onnx")
    original, other = stylemap.demo_faces(5)[3:]
    w1, w2 = runtime.encode(original), runtime.encode(other)
    image = runtime.edit(w1, [w2], ["ellipse:0.5,0.7,0.2,0.12"])
    stylemap.to_pil(image).save(folder / "deployed.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
