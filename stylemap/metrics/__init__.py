"""Metrics: reconstruction, Frechet distances, local editing, directions. No weights are ever downloaded."""

from stylemap.metrics.evaluate import Classes, Evaluation, Options, Report

__all__ = ["Classes", "Evaluation", "Options", "Report"]


def __dir__() -> list[str]:
    return __all__
