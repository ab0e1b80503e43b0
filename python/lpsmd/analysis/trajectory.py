"""Trajectories from dumps."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.errors import LpsmdError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """Unwrapped positions of F equally spaced frames and N atoms, in order of atom id.

    The arrays are read-only views into the reader's memory.

    Attributes
    ----------
    paths
        The dumps this was read from, in order.
    timesteps
        [F] int64, integrator steps.
    positions_A
        [F, N, 3] float64, unwrapped.
    ids
        [N] int64, ascending.
    elements
        [N] chemical symbols.
    cells_A
        [F, 3, 3] float64, rows are the cell vectors.
    origins_A
        [F, 3] float64, lower corner of the cell.
    periodic
        Whether the cell repeats along a, b and c.
    repeated_frames
        Frames left out because an earlier one, of the chunk before, has the same timestep.
    """

    paths: tuple[str, ...]
    timesteps: NDArray[np.int64]
    positions_A: NDArray[np.float64]
    ids: NDArray[np.int64]
    elements: tuple[str, ...]
    cells_A: NDArray[np.float64]
    origins_A: NDArray[np.float64]
    periodic: tuple[bool, bool, bool]
    repeated_frames: int

    @property
    def n_frames(self) -> int:
        """Number of frames F."""
        return len(self.timesteps)

    @property
    def name(self) -> str:
        """What errors call this trajectory: its first file."""
        return self.paths[0] if self.paths else "trajectory"

    def indices_of(self, element: str) -> NDArray[np.int64]:
        """Indices of the atoms of one element, [n].

        Raises
        ------
        LpsmdError
            If there is none.
        """
        found = np.flatnonzero([name == element for name in self.elements]).astype(np.int64)
        if len(found) == 0:
            present = ", ".join(dict.fromkeys(self.elements))
            raise LpsmdError(f"{self.name}: no atom of element '{element}'; found {present}: choose among these")
        return found

    def frame_interval_ps(self, timestep_fs: float) -> float:
        """Time between frames in ps, for an integrator step of `timestep_fs`.

        Raises
        ------
        LpsmdError
            If there are fewer than two frames or the timestep is not positive.
        """
        if not (np.isfinite(timestep_fs) and timestep_fs > 0):
            raise LpsmdError(f"timestep_fs is {timestep_fs}, a positive number of femtoseconds is needed")
        if self.n_frames < 2:
            raise LpsmdError(
                f"{self.name}: found {self.n_frames} frame, at least 2 are needed for a displacement: "
                "run longer or dump more often"
            )
        return float(self.timesteps[1] - self.timesteps[0]) * timestep_fs / 1000.0


def read_dump(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    species: str | Sequence[str] | None = None,
) -> Trajectory:
    """Read the LAMMPS ``custom`` text dumps of one trajectory.

    Columns may stand in any order; needed are ``id``, ``element`` and either ``xu yu zu`` or
    ``x y z ix iy iz``, which are unwrapped with the images and the cell of their frame.

    Parameters
    ----------
    paths
        A dump, or the dumps of the successive chunks of one replica in order of time. A frame at the seam
        that a restart writes twice is taken once, provided that the positions agree to 1e-4 Angstrom.
    species
        Elements to keep; all if None. Lines of other atoms are skipped without being checked.

    Raises
    ------
    LpsmdError
        If a file is missing, truncated or no such dump, if positions are wrapped without image flags, or
        not finite, if atoms come or go, or if time goes backwards or in unequal intervals: naming the file,
        the frame (counted from 0 in its file), its timestep and the line.
    """
    many = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    names = [os.fspath(path) for path in many]
    kept = [species] if isinstance(species, str) else list(species or [])
    found = _core.read_dump(names, kept)
    if found.repeated_frames:
        _log.info("%s: %d repeated frames taken once", names[0], found.repeated_frames)
    a, b, c = found.periodic
    return Trajectory(
        paths=tuple(names),
        timesteps=found.timesteps,
        positions_A=found.positions,
        ids=found.ids,
        elements=tuple(found.elements),
        cells_A=found.cells,
        origins_A=found.origins,
        periodic=(a, b, c),
        repeated_frames=found.repeated_frames,
    )
