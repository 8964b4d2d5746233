"""The commands: thin layers over the package, one module each."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stylemap._build import BuildError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: see `stylemap.cli.app.main`. Ctrl-C is answered from the first import on.

    argv: words behind ``stylemap``; default: those of this process. Exit status as the result.
    """
    try:
        from stylemap.cli import app

        return app.main(argv)
    except KeyboardInterrupt:
        print("stylemap: interrupted", file=sys.stderr)
        return 130
    except BuildError as error:  # of the imports: what the environment asks for
        print(f"stylemap: error: {error}", file=sys.stderr)
        return 1
