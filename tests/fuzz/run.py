"""Fuzz one parser, guided by the coverage of its code: python -m tests.fuzz.run TARGET --runs 1000000.

Needs atheris (pip install atheris). Writes what it found into a JSON file; exit status 1 after a find, whose
input is kept beside it. Inputs that take more than ten seconds, and whatever would run a program, are finds.
"""

from __future__ import annotations

import argparse
import codecs
import importlib.metadata
import json
import mmap
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import atheris
from PIL import Image

FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "exec", "compile")


class ForbiddenError(BaseException):
    """Out of reach of what a parser catches."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=0, help="at most; 0: no limit")
    parser.add_argument("--results", type=Path, help="a JSON file, where an entry of this target is written")
    args = parser.parse_args()
    with atheris.instrument_imports(include=["stylemap.checkpoint", "stylemap.data", "stylemap.editor"]):
        from tests.fuzz import targets
    atheris.instrument_func(targets.torch_file.Reader.load)
    (target,) = [one for one in targets.TARGETS if one.name == args.target]
    folder = Path(tempfile.mkdtemp())
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed{number}").write_bytes(seed)
    shared, find = mmap.mmap(-1, 8), folder.with_suffix(".find")  # what the process that fuzzes leaves
    guarded = False

    def audit(event: str, _: Any) -> None:
        if guarded and event in FORBIDDEN:
            raise ForbiddenError(f"an input led to {event}")

    def one(data: bytes) -> None:
        nonlocal guarded
        shared[:] = (int.from_bytes(shared[:], "little") + 1).to_bytes(8, "little")
        guarded = True
        try:
            target.run(data)
        except BaseException as error:
            guarded = False
            find.write_text(f"{type(error).__name__}: {error}"[:300])
            raise
        guarded = False

    for seed in target.seeds():
        one(seed)  # what is imported late is imported here
    Image.init()
    for codec in ("raw_unicode_escape", "unicode_escape", "ascii", "latin-1", "utf-16", "utf-32", "cp437"):
        codecs.lookup(codec)
    shared[:] = bytes(8)
    sys.addaudithook(audit)
    options = [f"-runs={args.runs}", "-max_len=20000", "-timeout=10", "-rss_limit_mb=6000", "-verbosity=0"]
    options += [f"-artifact_prefix={Path.cwd()}{os.sep}"]
    options += [f"-max_total_time={args.seconds}"] if args.seconds else []
    begin = time.monotonic()
    pid = os.fork()  # libFuzzer ends the process it runs in
    if pid == 0:
        atheris.Setup([sys.argv[0], *options, str(folder)], one)
        atheris.Fuzz()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    entry = {
        "runs": int.from_bytes(shared[:], "little"),
        "seconds": round(time.monotonic() - begin, 1),
        "status": status,
        "find": find.read_text() if find.exists() else None,
        "atheris": importlib.metadata.version("atheris"),
        "python": platform.python_version(),
    }
    print(json.dumps(entry))
    if args.results is not None:
        found = json.loads(args.results.read_text()) if args.results.exists() else {}
        args.results.write_text(json.dumps({**found, target.name: entry}, indent=2, sort_keys=True) + "\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
