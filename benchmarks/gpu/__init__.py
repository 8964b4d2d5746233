"""Checks and measurements on a machine with a GPU: ``python -m stylemap.benchmarks.gpu``."""
