"""What each trainer is told, and what it tells: one module for each, all with the functions of `Trainer`."""

from __future__ import annotations

import importlib
from typing import cast

from lpsmd.training.data import TrainingError
from lpsmd.training.sizes import ARCHITECTURES
from lpsmd.training.trainers.stage import Stage, Trainer

__all__ = ["Stage", "Trainer", "trainer_of"]


def trainer_of(architecture: str) -> Trainer:
    """The trainer of an architecture.

    Raises
    ------
    TrainingError
        If it has none.
    """
    if architecture not in ARCHITECTURES:
        raise TrainingError(f"architecture: found {architecture!r}, needed one of {', '.join(ARCHITECTURES)}")
    return cast(Trainer, importlib.import_module(f"lpsmd.training.trainers.{architecture}"))
