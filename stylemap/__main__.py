"""``python -m stylemap``: the same as the command ``stylemap``."""

import sys

from stylemap.cli import main

if __name__ == "__main__":
    sys.exit(main())
