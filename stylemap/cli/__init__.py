"""The commands: thin layers over the package, one module each."""

from stylemap.cli.app import main

__all__ = ["main"]
