"""Checks on csrc/ that need no GPU: kernels include no framework header; every .cu compiles."""

import re
import subprocess
import sys
import tempfile
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


def compile_cuda(root: Path, arch: str) -> list[str]:
    home = _build.cuda_home()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((root / "kernels").rglob("*.cu")):
            command = [
                home / "bin" / "nvcc",
                *_build.NVCC_FLAGS,
                f"-arch=sm_{arch}",
                f"-I{root}",
                "-c",
                source,
            ]
            run = subprocess.run(
                [*command, "-o", Path(folder) / "out.o"], capture_output=True, text=True, check=False
            )
            if run.returncode != 0:
                failed.append(f"{source} for sm_{arch}:\n{run.stderr}")
    return failed


def main() -> int:
    root = _build.source_root()
    problems = framework_includes(root)
    if _build.cuda_home() is None:
        print("no nvcc: the CUDA sources were not compiled")
    else:
        for arch in ("80", "90a"):
            problems += compile_cuda(root, arch)
    print("\n".join(problems) or "csrc: no framework header in kernels, CUDA sources compile")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
