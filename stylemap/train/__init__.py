"""Training: the five steps, the loop around them, and what a run leaves behind."""

from stylemap.train.config import Lambdas, TrainConfig
from stylemap.train.loop import TrainingError, train

__all__ = ["Lambdas", "TrainConfig", "TrainingError", "train"]


def __dir__() -> list[str]:
    return __all__
