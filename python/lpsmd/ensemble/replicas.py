"""Replicas: which there are, where they live, what they follow from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpsmd.study import Condition, Study, hash_of

INPUT_NAME = "in.diffusion"
STRUCTURES = "structures"
LOCK_NAME = "lock"


@dataclass(frozen=True, kw_only=True)
class StructureRecord:
    """A structure of the study: its LAMMPS data file, relative to the study's folder, and what is in it."""

    data_file: str
    sha256: str
    title: str
    elements: tuple[str, ...]
    atoms: int
    volume_A3: float


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One trajectory of one model at one temperature, in a folder of its own."""

    condition: Condition
    index: int
    structure: int
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.condition.name} replica {self.index}"

    def file(self, chunk: int, kind: str) -> Path:
        """A file of a chunk: of kind in, log, out, restart or dump.gz."""
        return self.directory / f"chunk.{chunk}.{kind}"

    def dumps(self, n_chunks: int) -> list[Path]:
        """The dumps of its production, in order."""
        return [self.file(chunk, "dump.gz") for chunk in range(1, n_chunks + 1)]

    @property
    def lock(self) -> Path:
        """Held by whoever runs LAMMPS here."""
        return self.directory / LOCK_NAME


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where the replicas of a study are and what they start from."""

    study: Study
    output: Path
    structures: tuple[StructureRecord, ...]
    input_sha256: str

    def replica(self, condition: Condition, index: int) -> Replica:
        """Replica k has the same structure and seed for every model and temperature: the design is paired."""
        hashed = hash_of(self.parameters(condition, index))[:12]
        return Replica(
            condition=condition,
            index=index,
            structure=self.study.structure_of(index),
            seed=self.study.replica_seed(index),
            directory=self.output / condition.name / f"replica-{index:03d}-{hashed}",
        )

    def replicas(self, condition: Condition, count: int) -> list[Replica]:
        """The first replicas of a condition."""
        return [self.replica(condition, index) for index in range(count)]

    def parameters(self, condition: Condition, index: int) -> dict[str, Any]:
        """What a trajectory follows from, by content. The length of the production is not in it."""
        structure = self.study.structure_of(index)
        return {
            "model_sha256": condition.model.sha256,
            "structure_sha256": self.structures[structure].sha256,
            "input_sha256": self.input_sha256,
            "elements": list(self.structures[structure].elements),
            "temperature_K": condition.temperature_K,
            "dynamics": self.study.dynamics.identity(),
            "index": index,
            "seed": self.study.replica_seed(index),
            "study_hash": self.study.hash,
        }

    def record(self, replica: Replica) -> dict[str, Any]:
        """What replica.json says: the parameters with the names that people use."""
        return {
            "model": replica.condition.model.label,
            "structure": replica.structure,
            **self.parameters(replica.condition, replica.index),
        }
