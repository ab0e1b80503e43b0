"""Dynamics to pick frames from: one study, in cells of several volumes and anion inversions."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from lpsmd.analysis.trajectory import read_dump
from lpsmd.dataset.checks import geometry_hash
from lpsmd.ensemble import Ensemble, ReplicaOutcome
from lpsmd.errors import LpsmdError
from lpsmd.structure import Structure, read_structure
from lpsmd.study import GeneratedStructure, ModelSpec, Study

#: Relative change of volume that is no mistake in the unit: 3 % is 0.03.
_MOST_STRAIN = 0.2
#: Volume to which start structures are brought before they are told apart.
_START_VOLUME_A3_PER_ATOM = 20.0


class SelectionError(LpsmdError):
    """Frames cannot be sampled or selected as asked."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Where a study is run: anion inversion, and volume relative to that of the study's own cell, minus one."""

    inversion: float
    volume_strain: float

    @property
    def name(self) -> str:
        """What its folder is called: inversion-0.5_volume+0.03."""
        return f"inversion-{self.inversion:g}_volume{self.volume_strain:+g}"


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
    """Every inversion at every volume.

    Raises
    ------
    SelectionError
        If the study is not one whose cells can be made so, or a value is not possible.
    """
    if not isinstance(study.structure, GeneratedStructure):
        raise SelectionError(
            f"{study.name}: found a structure file, needed a generator in [structure]: disorder and volume are varied"
        )
    if study.dynamics.ensemble == "npt":
        raise SelectionError(f'{study.name}: found ensemble = "npt", needed "nvt": the volumes are those asked for')
    if study.ensemble.target_relative_error is not None:
        raise SelectionError(f"{study.name}: found target_relative_error, needed replicas: no D is computed here")
    for strain in volume_strains:
        if abs(strain) > _MOST_STRAIN:
            raise SelectionError(f"--volume: found {strain:g}, needed at most {_MOST_STRAIN:g}; 3 % is 0.03")
    cells = itertools.product(_distinct(inversions), _distinct(volume_strains))
    return [Cell(inversion=inversion, volume_strain=strain) for inversion, strain in cells]


def _distinct(values: Sequence[float]) -> list[float]:
    """Without repetitions; what is written 0, 0.0 and -0.0 is one study."""
    return list(dict.fromkeys(float(value) + 0.0 for value in values))


def studies_of(study: Study, cells: Sequence[Cell], drivers: Sequence[ModelSpec]) -> dict[Cell, Study]:
    """The study as it runs in each cell, with Li and anion sites of its own, moved by some of its models.

    Broken bonds stop no replica: the selection leaves those frames out, and counts them.
    """
    return {cell: _study_in(study, cell, drivers) for cell in cells}


def _study_in(study: Study, cell: Cell, drivers: Sequence[ModelSpec]) -> Study:
    own = study.structure
    assert isinstance(own, GeneratedStructure)
    return replace(
        study,
        name=f"{study.name} {cell.name}",
        structure=replace(
            own,
            a_A=own.a_A * (1.0 + cell.volume_strain) ** (1.0 / 3.0),
            inversion=cell.inversion,
            seed=_structure_seed(own.seed, cell),
        ),
        models=tuple(drivers),
        dynamics=replace(study.dynamics, dump_species=None),
        ensemble=replace(study.ensemble, stop_on_broken_framework=False),
    )


def _structure_seed(seed: int, cell: Cell) -> int:
    """Of a cell alone, not of its place in the list; 48 bits, so that no other cell or seed counts up into it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{cell.name}".encode()).digest()[:6], "big")


def start_of(structure: Structure) -> str:
    """16 hex digits of the SHA-256 of a start structure: symbols, cell and positions to 1e-4 Angstrom.

    All replicas that begin from one arrangement of anions and Li have it, whatever their model, temperature and
    volume (it is taken at 20 Angstrom^3 for each atom): frames of one start are not independent.
    """
    atoms = Atoms(structure.symbols, positions=structure.positions_A, cell=structure.cell_A, pbc=True)
    length = (_START_VOLUME_A3_PER_ATOM * len(atoms) / structure.volume_A3) ** (1.0 / 3.0)
    atoms.set_cell(length * atoms.cell, scale_atoms=True)
    # From the first letter on: extended XYZ has no quotes that keep 0123 and 12e34 from being read as numbers.
    return geometry_hash(atoms).lstrip("0123456789")[:16]


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
