"""How large a network is, and how long and how fast each stage of its training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpsmd.training.data import TrainingError

ARCHITECTURES = ("nequip", "mace", "deepmd")
#: The size of the models that ship. docs/training.md has the measured errors and costs by which it was chosen.
DEFAULT_SIZE = "small"

#: What each architecture's own input calls its dimensions, and its cutoff in Angstrom.
SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "nequip": {
        "small": {
            "r_max": 5.0, "l_max": 1, "num_layers": 4, "num_features": [32, 16],
            "radial_mlp_depth": 1, "radial_mlp_width": 32,
        },
        "medium": {
            "r_max": 5.0, "l_max": 2, "num_layers": 4, "num_features": [32, 16, 8],
            "radial_mlp_depth": 1, "radial_mlp_width": 64,
        },
        "large": {
            "r_max": 5.0, "l_max": 2, "num_layers": 4, "num_features": [64, 32, 16],
            "radial_mlp_depth": 2, "radial_mlp_width": 64,
        },
    },
    "mace": {
        "small": {
            "r_max": 5.0, "hidden_irreps": "16x0e+16x1o", "correlation": 2, "max_ell": 2, "num_interactions": 2,
            "radial_MLP": "[32,32]", "MLP_irreps": "16x0e",
        },
        "medium": {
            "r_max": 5.0, "hidden_irreps": "32x0e+32x1o", "correlation": 2, "max_ell": 3, "num_interactions": 2,
            "radial_MLP": "[64,64,64]", "MLP_irreps": "16x0e",
        },
        "large": {
            "r_max": 5.0, "hidden_irreps": "64x0e+64x1o", "correlation": 3, "max_ell": 3, "num_interactions": 2,
            "radial_MLP": "[64,64,64]", "MLP_irreps": "16x0e",
        },
    },
    "deepmd": {
        "small": {"rcut": 5.5, "neuron": [12, 24, 48], "axis_neuron": 8, "fitting_neuron": [80, 80, 80]},
        "medium": {"rcut": 6.0, "neuron": [25, 50, 100], "axis_neuron": 8, "fitting_neuron": [120, 120, 120]},
        "large": {"rcut": 7.0, "neuron": [25, 50, 100], "axis_neuron": 16, "fitting_neuron": [240, 240, 240]},
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The greatest length of a stage; the learning rate falls exponentially over it."""

    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float

    @property
    def patience(self) -> int:
        """Epochs without a better validation score after which a stage ends."""
        return max(5, self.epochs // 5)

    def steps(self, frames: int) -> int:
        """Steps of the optimizer in all."""
        return self.epochs * self.steps_per_epoch(frames)

    def steps_per_epoch(self, frames: int) -> int:
        """Steps of the optimizer in one pass over `frames` frames."""
        return math.ceil(frames / self.batch_size)

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate in an epoch, counted from 0."""
        return self.learning_rate * math.pow(self.final_learning_rate / self.learning_rate, epoch / self.epochs)


#: By what a stage learns and starts from: the teacher's frames; labels, from random weights or from pretrained ones
#: (the teacher's, a foundation model's); another functional's labels, from the weights of the first: short, since a
#: longer stage drifts away from these and loses the difference of the two (docs/training.md).
SCHEDULES: Mapping[str, Mapping[str, Schedule]] = {
    "nequip": {
        "teacher": Schedule(epochs=100, batch_size=1, learning_rate=0.02, final_learning_rate=1e-3),
        "random": Schedule(epochs=200, batch_size=1, learning_rate=0.02, final_learning_rate=1e-3),
        "pretrained": Schedule(epochs=150, batch_size=1, learning_rate=1e-2, final_learning_rate=2e-4),
        "functional": Schedule(epochs=40, batch_size=1, learning_rate=2e-3, final_learning_rate=1e-4),
    },
    "mace": {
        "teacher": Schedule(epochs=20, batch_size=1, learning_rate=0.03, final_learning_rate=3e-3),
        "random": Schedule(epochs=200, batch_size=1, learning_rate=0.03, final_learning_rate=1e-3),
        "pretrained": Schedule(epochs=100, batch_size=1, learning_rate=5e-3, final_learning_rate=2e-4),
        "functional": Schedule(epochs=40, batch_size=1, learning_rate=2e-3, final_learning_rate=1e-4),
    },
    "deepmd": {
        "teacher": Schedule(epochs=30, batch_size=1, learning_rate=4e-3, final_learning_rate=4e-4),
        "random": Schedule(epochs=500, batch_size=1, learning_rate=4e-3, final_learning_rate=1e-4),
        "pretrained": Schedule(epochs=200, batch_size=1, learning_rate=1e-3, final_learning_rate=2e-5),
        "functional": Schedule(epochs=60, batch_size=1, learning_rate=5e-4, final_learning_rate=1e-5),
    },
}


def network_of(architecture: str, size: str) -> Mapping[str, Any]:
    """The dimensions of a network.

    Raises
    ------
    TrainingError
        For a name that is in no table.
    """
    if architecture not in ARCHITECTURES:
        raise TrainingError(f"architecture: found {architecture!r}, needed one of {', '.join(ARCHITECTURES)}")
    if size not in SIZES[architecture]:
        raise TrainingError(f"size: found {size!r}, needed one of {', '.join(SIZES[architecture])}")
    return SIZES[architecture][size]


def cutoff_A(network: Mapping[str, Any]) -> float:
    """The cutoff of a network in Angstrom."""
    cutoff: float = network["rcut"] if "rcut" in network else network["r_max"]
    return cutoff
