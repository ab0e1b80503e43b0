"""Dynamics to pick frames from: one study, in cells of several volumes and anion inversions."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.cell
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd.analysis.trajectory import read_dump
from lpsmd.ensemble import Ensemble, ReplicaOutcome
from lpsmd.errors import LpsmdError
from lpsmd.structure import Structure, read_structure
from lpsmd.study import GeneratedStructure, ModelSpec, StructureFile, Study

#: Relative change of volume that is no mistake in the unit: 3 % is 0.03.
_MOST_STRAIN = 0.2
#: Fractions of the 4a sites with S where none are given: ordered, and fully disordered.
DEFAULT_INVERSIONS = (0.0, 0.5)
#: Of a length of one, in which start structures are told apart.
_STEPS = 1_000_000


class SelectionError(LpsmdError):
    """Frames cannot be sampled or selected as asked."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Where a study is run: anion inversion, and volume relative to that of the study's own cell, minus one.

    `inversion` is None for a structure file, whose anions are where they are.
    """

    inversion: float | None
    volume_strain: float

    @property
    def name(self) -> str:
        """What its folder is called: inversion-0.5_volume+0.03, of a structure file volume+0.03."""
        disorder = "" if self.inversion is None else f"inversion-{self.inversion:g}_"
        return f"{disorder}volume{self.volume_strain:+g}"


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledFrame:
    """A frame of the dynamics.

    `trajectory` names the replica, and no other one of any study; `start` what it began from, see `start_of`; `model`
    is the one that moved it; `time_ps` counts from the start of the production.
    """

    atoms: Atoms
    trajectory: str
    start: str
    model: str
    temperature_K: float
    time_ps: float
    cell: Cell

    @property
    def name(self) -> str:
        """Its trajectory and the time in fs."""
        return f"{self.trajectory}-{1000.0 * self.time_ps:05.0f}fs"


def cells_of(study: Study, *, inversions: Sequence[float], volume_strains: Sequence[float]) -> list[Cell]:
    """Every inversion at every volume; without inversions those of `DEFAULT_INVERSIONS`, and of a file its own.

    Raises
    ------
    SelectionError
        If the study is not one whose cells can be made so, or a value is not possible.
    """
    generated = isinstance(study.structure, GeneratedStructure)
    if inversions and not generated:
        raise SelectionError(
            f"--inversion: found {inversions[0]:g} for a structure file, needed none: its anions are where they are; "
            "write one study for each file, or a generator in [structure]"
        )
    if study.dynamics.ensemble == "npt":
        raise SelectionError(f'{study.name}: found ensemble = "npt", needed "nvt": the volumes are those asked for')
    if study.ensemble.target_relative_error is not None:
        raise SelectionError(f"{study.name}: found target_relative_error, needed replicas: no D is computed here")
    for strain in volume_strains:
        if abs(strain) > _MOST_STRAIN:
            raise SelectionError(f"--volume: found {strain:g}, needed at most {_MOST_STRAIN:g}; 3 % is 0.03")
    disorders = _distinct(inversions or DEFAULT_INVERSIONS) if generated else [None]
    cells = itertools.product(disorders, _distinct(volume_strains))
    return [Cell(inversion=inversion, volume_strain=strain) for inversion, strain in cells]


def _distinct(values: Sequence[float]) -> list[float]:
    """Without repetitions; what is written 0, 0.0 and -0.0 is one study."""
    return list(dict.fromkeys(float(value) + 0.0 for value in values))


def studies_of(
    study: Study, cells: Sequence[Cell], drivers: Sequence[ModelSpec], *, part: str | None = None
) -> dict[Cell, Study]:
    """The study as it runs in each cell, with Li and anion sites of its own, moved by some of its models.

    Broken bonds stop no replica: the selection leaves those frames out, and counts them. Generated sites for a `part`
    of a split are others than those for none, so that no seed leaks.
    """
    return {cell: _study_in(study, cell, drivers, part) for cell in cells}


def _study_in(study: Study, cell: Cell, drivers: Sequence[ModelSpec], part: str | None) -> Study:
    return replace(
        study,
        name=f"{study.name} {cell.name}",
        structure=_structure_in(study.structure, cell, part),
        models=tuple(drivers),
        dynamics=replace(study.dynamics, dump_species=None),
        ensemble=replace(study.ensemble, stop_on_broken_framework=False),
    )


def _structure_in(
    own: GeneratedStructure | StructureFile, cell: Cell, part: str | None
) -> GeneratedStructure | StructureFile:
    if isinstance(own, StructureFile):
        return replace(own, volume_strain=cell.volume_strain)
    assert cell.inversion is not None
    return replace(
        own,
        a_A=own.a_A * (1.0 + cell.volume_strain) ** (1.0 / 3.0),
        inversion=cell.inversion,
        seed=_structure_seed(own.seed, cell, part),
    )


def _structure_seed(seed: int, cell: Cell, part: str | None) -> int:
    """Of a cell alone, not of its place in the list; 48 bits, so that no other cell or seed counts up into it."""
    of = f"{seed}/{cell.name}" if part is None else f"{seed}/{cell.name}/{part}"
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:6], "big")


def start_of(structure: Structure) -> str:
    """16 hex digits of the SHA-256 of a start structure: symbols, shape of the cell, fractional coordinates to 1e-6.

    All replicas that begin from one arrangement of anions and Li have it, whatever their model, temperature and
    volume: frames of one start are not independent.
    """
    cell, _ = ase.cell.Cell(structure.cell_A).standard_form()
    shape = cell.array / structure.volume_A3 ** (1.0 / 3.0)
    fractional = np.linalg.solve(structure.cell_A.T, structure.positions_A.T).T
    digest = hashlib.sha256(" ".join(structure.symbols).encode())
    digest.update(_steps(shape).tobytes())
    digest.update((_steps(fractional) % _STEPS).tobytes())
    # From the first letter on: extended XYZ has no quotes that keep 0123 and 12e34 from being read as numbers.
    return digest.hexdigest().lstrip("0123456789")[:16]


def _steps(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Whole numbers of 1e-6; the offset keeps round numbers off the boundaries."""
    steps: NDArray[np.int64] = np.floor(_STEPS * values + 0.382).astype(np.int64)
    return steps


def frames_of(ensemble: Ensemble, cell: Cell) -> Iterator[SampledFrame]:
    """All frames of the whole chunks of all replicas, also of those that failed later."""
    # What LAMMPS read: a folder goes on with its files, also under an lpsmd that would build others.
    starts = [start_of(read_structure(ensemble.output / record.data_file)) for record in ensemble.plan.structures]
    for outcome in ensemble.outcomes:
        yield from _frames_of(outcome, cell, starts[outcome.replica.structure])


def _frames_of(outcome: ReplicaOutcome, cell: Cell, start: str) -> Iterator[SampledFrame]:
    replica = outcome.replica
    dumps: list[str | Path] = [replica.file(chunk, "dump.gz") for chunk in outcome.status.chunks if chunk]
    if not dumps:
        return
    trajectory = read_dump([str(dump) for dump in dumps])
    times_ps = trajectory.times_ps(outcome.plan.study.dynamics.timestep_fs)
    for time_ps, positions, box, origin in zip(
        times_ps, trajectory.positions_A, trajectory.cells_A, trajectory.origins_A, strict=True
    ):
        atoms = Atoms(list(trajectory.elements), positions=positions - origin, cell=box, pbc=True)
        atoms.wrap()
        yield SampledFrame(
            atoms=atoms,
            trajectory=f"{replica.condition.name}-{replica.directory.name}",
            start=start,
            model=replica.condition.model.label,
            temperature_K=replica.condition.temperature_K,
            time_ps=round(float(time_ps), 6),
            cell=cell,
        )
