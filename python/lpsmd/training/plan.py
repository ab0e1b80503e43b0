"""What is asked of `lpsmd train`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lpsmd.training.data import FUNCTIONALS, TrainingError, lineage
from lpsmd.training.sizes import DEFAULT_SIZE, network_of

PRETRAINING = ("none", "sevennet")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A model to train; the same plan on the same data gives the same model, as far as the trainer does.

    Attributes
    ----------
    architecture : {"nequip", "mace", "deepmd"}
    functional : {"PBE", "HSE06"}
        HSE06 starts from the PBE model of the same seed, which is trained first where it is not there yet.
    seed
        Of the first weights, the order of the frames, and all else that the trainer draws.
    data
        Folder with pbe.extxyz and hse06.extxyz.
    output
        Model file to write; `output` with the ending .training.csv is the log of all epochs.
    workdir
        Keeps environments, teacher frames and stages; a finished stage is not run again.
    size
        Row of `lpsmd.training.sizes.SIZES`, None for the default or that of the foundation model.
    pretraining : {"none", "sevennet"}
    foundation
        A MACE model to start from.
    environment, teacher_environment
        Existing virtual environments of the trainer and of sevenn; made in `workdir` if None.
    threads
        Threads of the trainer.
    dtype : {"float32", "float64"}
        Precision of training and of the program in the model file.
    device : {"auto", "cpu", "cuda"}
        Where to train; auto takes a GPU where torch sees one.
    max_hours
        Time for all stages that are still to run, each an equal share of what is left.
    max_epochs
        A shorter length than the schedules have; the learning rate falls over it.
    """

    architecture: str
    functional: str
    seed: int
    data: Path
    output: Path
    workdir: Path
    size: str | None = None
    pretraining: str = "none"
    foundation: Path | None = None
    environment: Path | None = None
    teacher_environment: Path | None = None
    threads: int = 1
    dtype: str = "float32"
    device: str = "auto"
    max_hours: float | None = None
    max_epochs: int | None = None

    def __post_init__(self) -> None:
        network_of(self.architecture, self.size or DEFAULT_SIZE)
        lineage(self.functional)
        for name, found, known in (
            ("functional", self.functional, FUNCTIONALS),
            ("pretraining", self.pretraining, PRETRAINING),
            ("dtype", self.dtype, ("float32", "float64")),
            ("device", self.device, DEVICES),
        ):
            if found not in known:
                raise TrainingError(f"{name}: found {found!r}, needed one of {', '.join(known)}")
        for name, value in (("threads", self.threads), ("max_hours", self.max_hours), ("max_epochs", self.max_epochs)):
            if value is not None and not value > 0:
                raise TrainingError(f"{name}: found {value}, needed more than 0")
        if self.foundation is not None:
            self._check_foundation(self.foundation)

    def _check_foundation(self, foundation: Path) -> None:
        if self.architecture != "mace":
            why = (
                "a nequip package keeps its own precision and cannot be exported"
                if self.architecture == "nequip"
                else "a Deep Potential foundation model has another descriptor than se_e2_a"
            )
            raise TrainingError(f"foundation: found one for {self.architecture}, needed mace: {why}; leave it away")
        if not foundation.is_file():
            raise TrainingError(f"foundation: {foundation}: no such file, needed a MACE .model file")
        if self.size is not None:
            raise TrainingError(
                f"size: found {self.size} with a foundation model, whose network it is; leave --size away"
            )
        if self.pretraining != "none":
            raise TrainingError(
                f"pretraining: found {self.pretraining} with a foundation model, which takes its place; needed none"
            )

    @property
    def size_name(self) -> str:
        """Row of the table of sizes, or what stands in its place."""
        return "foundation" if self.foundation is not None else self.size or DEFAULT_SIZE

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages in the order in which they run."""
        return (*(("teacher",) if self.pretraining == "sevennet" else ()), *lineage(self.functional))

    @property
    def command(self) -> str:
        """The command, without what does not change the model."""
        options = {
            "functional": self.functional,
            "seed": self.seed,
            "data": self.data.name,
            "size": None if self.foundation else self.size_name,
            "pretraining": None if self.pretraining == "none" else self.pretraining,
            "foundation": self.foundation.name if self.foundation else None,
            "dtype": None if self.dtype == "float32" else self.dtype,
            "max-epochs": self.max_epochs,
            "max-hours": self.max_hours,
        }
        words = [word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))]
        return shlex.join(["lpsmd", "train", self.architecture, *words, "-o", self.output.name])
