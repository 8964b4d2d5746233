"""Checks on csrc/ that need no GPU: kernels include no framework header; every .cu compiles."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from stylemap import _build

FRAMEWORK = re.compile(r'#\s*include\s*[<"](torch|ATen|c10|Python\.h|pybind11|NvInfer)')


def framework_includes(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "kernels").rglob("*")):
        if path.is_file():
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if FRAMEWORK.match(line.strip()):
                    found.append(f"{path}:{number}: {line.strip()}")
    return found


def cuda_problems() -> list[str]:
    """The library is compiled from every .cu for every architecture, sm_80 and sm_90a among them."""
    missing = {"80", "90a"} - {arch.removesuffix("+PTX") for arch in _build.DEFAULT_ARCHS.split()}
    if missing:
        return [f"the CUDA library is not compiled for sm_{arch}" for arch in sorted(missing)]
    try:
        _build.ensure("cuda")
    except _build.BuildError as error:
        return [str(error)]
    return []


def main() -> int:
    problems = framework_includes(_build.source_root())
    if _build.cuda_home() is None:
        print("no nvcc: the CUDA sources were not compiled")
    else:
        problems += cuda_problems()
    print("\n".join(problems) or "csrc: no framework header in kernels, the libraries compile")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
