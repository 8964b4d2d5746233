"""Metrics: reconstruction, Frechet distances, local editing, directions. No weights are ever downloaded."""

from stylemap.metrics.evaluate import Evaluation, Options, Report

__all__ = ["Evaluation", "Options", "Report"]
