"""Whether what LAMMPS wrote for a chunk is whole, finite and still the crystal that was put in."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lpsmd.ensemble.failures import FailureKind
from lpsmd.ensemble.files import read_text
from lpsmd.ensemble.records import Thermo
from lpsmd.errors import LpsmdError
from lpsmd.study import Dynamics

if TYPE_CHECKING:
    from lpsmd.analysis import Trajectory

#: A temperature this many times the thermostat's is an explosion: 52 atoms fluctuate by a tenth of it.
_EXPLODED = 3.0
#: The last bytes of a restart file. LAMMPS does not notice that a disk took only a part of it.
_RESTART_END = b"LammpS RestartT\0"


class ProductError(LpsmdError):
    """What is wrong with the output of a chunk, and of what kind it is."""

    def __init__(self, kind: FailureKind, text: str) -> None:
        self.kind = kind
        super().__init__(text)


def check_chunk(
    folder: Path,
    *,
    chunk: int,
    dynamics: Dynamics,
    temperature_K: float,
    n_atoms: int,
    bonds_must_hold: bool,
    model_sha256: str,
) -> Thermo:
    """Say that a chunk's log, restart and dump are whole, finite, and of the right model; average its thermo values.

    Parameters
    ----------
    folder
        Where the files of the chunk are.
    chunk
        Its number.
    dynamics, temperature_K
        What it should have run.
    n_atoms
        Atoms of a frame.
    bonds_must_hold
        Whether a broken named bond is a failure.
    model_sha256
        What the pair style must have loaded.

    Raises
    ------
    ProductError
        Naming the file, what was found and what is needed.
    """
    thermo = _check_log(
        folder / f"chunk.{chunk}.log",
        chunk=chunk,
        dynamics=dynamics,
        temperature_K=temperature_K,
        model_sha256=model_sha256,
    )
    _check_restart(folder / f"chunk.{chunk}.restart")
    if chunk:
        dump = folder / f"chunk.{chunk}.dump.gz"
        trajectory = _check_dump(dump, chunk=chunk, dynamics=dynamics, n_atoms=n_atoms)
        if bonds_must_hold:
            _check_bonds(dump, trajectory, dynamics)
    return thermo


def _check_log(log: Path, *, chunk: int, dynamics: Dynamics, temperature_K: float, model_sha256: str) -> Thermo:
    text = read_text(log)
    run = last_run(text)
    if run is None or run.loop_time_s is None:
        raise ProductError(FailureKind.PRODUCT, f"{log}: found no end of the run")
    for name in run.columns:
        if not all(math.isfinite(value) for value in run.column(name)):
            raise ProductError(FailureKind.UNSTABLE, f"{log}: found a {name} that is not finite")
    last = int(run.column("Step")[-1])
    needed = dynamics.steps_of(chunk) if chunk == 0 else chunk * dynamics.chunk_steps
    if last != needed:
        raise ProductError(FailureKind.PRODUCT, f"{log}: found the last step {last}, needed {needed}")
    hottest = max(run.column("Temp"))
    if chunk and hottest > _EXPLODED * temperature_K:
        raise ProductError(
            FailureKind.UNSTABLE,
            f"{log}: found {hottest:.0f} K, more than {_EXPLODED:g} times the {temperature_K:g} K that are set: the "
            "structure has exploded; the model may not know it, or the timestep be too long",
        )
    if f"SHA-256 {model_sha256[:12]}" not in text:
        raise ProductError(
            FailureKind.MODEL,
            f"{log}: the model that ran is not the study's ({model_sha256[:12]}): its file was changed; put it back",
        )
    return _averages(run)


def _check_restart(path: Path) -> None:
    if not path.is_file():
        raise ProductError(FailureKind.PRODUCT, f"{path}: found no restart file, the chunk did not end")
    with path.open("rb") as stream:
        stream.seek(-min(len(_RESTART_END), path.stat().st_size), os.SEEK_END)
        if stream.read() != _RESTART_END:
            raise ProductError(FailureKind.PRODUCT, f"{path}: found no end of the restart file, it was cut")


@dataclass(frozen=True, kw_only=True)
class LogRun:
    """One `run` of a log: thermo rows by column, and its time if it ended."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    loop_time_s: float | None

    def column(self, name: str) -> list[float]:
        """Values of one column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def last_run(text: str) -> LogRun | None:
    """The last run of a log, whether or not it has ended."""
    columns: tuple[str, ...] = ()
    rows: list[tuple[float, ...]] = []
    loop_time_s = None
    inside = False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            columns, rows, loop_time_s, inside = tuple(words), [], None, True
        elif line.startswith("Loop time of "):
            loop_time_s, inside = float(words[3]), False
        elif inside and len(words) == len(columns):
            with contextlib.suppress(ValueError):  # a warning among the rows
                rows.append(tuple(float(word) for word in words))
    return LogRun(columns=columns, rows=tuple(rows), loop_time_s=loop_time_s) if rows else None


def _averages(run: LogRun) -> Thermo:
    """Of all rows but the first, which is the last of the chunk before."""

    def mean(name: str) -> float:
        values: Sequence[float] = run.column(name)[1:] or run.column(name)
        return math.fsum(values) / len(values)

    steps = int(run.column("Step")[-1] - run.column("Step")[0])
    return Thermo(
        mean_temperature_K=mean("Temp"),
        mean_pressure_bar=mean("Press"),
        ms_per_step=1000.0 * (run.loop_time_s or 0.0) / max(1, steps),
    )


def _check_dump(path: Path, *, chunk: int, dynamics: Dynamics, n_atoms: int) -> Trajectory:
    # Here and not above: status and plan must not pay for numpy and scipy.
    from lpsmd.analysis.trajectory import read_dump

    needed = dynamics.frames_of(chunk)
    if not path.is_file():
        raise ProductError(FailureKind.PRODUCT, f"{path}: found no dump")
    try:
        trajectory = read_dump(path, threads=1)
    except LpsmdError as error:
        kind = FailureKind.UNSTABLE if "finite" in str(error) else FailureKind.PRODUCT
        raise ProductError(kind, str(error)) from error
    found = trajectory.timesteps.tolist()
    if found != list(needed):
        raise ProductError(
            FailureKind.PRODUCT,
            f"{path}: found {len(found)} frames of steps {found[0]} to {found[-1]}, "
            f"needed {len(needed)} of steps {needed[0]} to {needed[-1]}",
        )
    if dynamics.dump_species is None and len(trajectory.ids) != n_atoms:
        raise ProductError(FailureKind.PRODUCT, f"{path}: found {len(trajectory.ids)} atoms, needed {n_atoms}")
    return trajectory


def _check_bonds(path: Path, trajectory: Trajectory, dynamics: Dynamics) -> None:
    from lpsmd.analysis.framework import check_framework, framework_for

    framework = framework_for(trajectory.elements)
    if framework is not None:
        broken = check_framework(trajectory, timestep_fs=dynamics.timestep_fs, options=framework).broken_bonds
        if broken:
            raise ProductError(FailureKind.FRAMEWORK, f"{path}: {broken[0]} ({len(broken)} broken bonds)")
