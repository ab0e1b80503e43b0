"""Trajectories: what the analysis works on, and the readers that make them."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.analysis.streams import is_stream, opener_of
from lpsmd.errors import LpsmdError

_log = logging.getLogger(__name__)

Path = str | os.PathLike[str]
Source = Path | IO[bytes]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """Unwrapped positions of F frames and N atoms, in order of atom id.

    The arrays are read-only views into the reader's memory.

    Attributes
    ----------
    paths
        The files this was read from, in order.
    timesteps
        [F] int64, ascending: integrator steps, or, from files that count none, multiples of `timestep_fs`.
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
    truncated_frames
        Last frames left out because their file ends inside them (only with ``drop_truncated``).
    timestep_fs
        Time of one of `timesteps` in fs where the file tells it; None for dumps, which do not.
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
    truncated_frames: int = 0
    timestep_fs: float | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames F."""
        return len(self.timesteps)

    @property
    def name(self) -> str:
        """What errors call this trajectory: its first file."""
        return self.paths[0] if self.paths else "trajectory"

    @property
    def equally_spaced(self) -> bool:
        """Whether all frames are the same number of steps apart; true for fewer than three frames."""
        gaps = np.diff(self.timesteps)
        return len(gaps) < 2 or bool(np.all(gaps == gaps[0]))

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

    def times_ps(self, timestep_fs: float | None = None) -> NDArray[np.float64]:
        """Time of each frame since the first one in ps, [F], for an integrator step of `timestep_fs`.

        Raises
        ------
        LpsmdError
            If the timestep is not positive, or neither given nor known, or another one than the file's own.
        """
        step_fs = self.step_fs(timestep_fs)
        return (self.timesteps - self.timesteps[:1]).astype(np.float64) * (step_fs / 1000.0)

    def frame_interval_ps(self, timestep_fs: float | None = None) -> float:
        """Time between frames in ps, for an integrator step of `timestep_fs`.

        Raises
        ------
        LpsmdError
            If there are fewer than two frames or they are not equally spaced; and as from `times_ps`.
        """
        step_fs = self.step_fs(timestep_fs)
        if self.n_frames < 2:
            raise LpsmdError(
                f"{self.name}: found {self.n_frames} frame, at least 2 are needed for a displacement: "
                "run longer or dump more often"
            )
        if not self.equally_spaced:
            raise LpsmdError(
                f"{self.name}: {_unequal(self.timesteps)}; equal intervals are needed here: dump every N steps, give "
                "every chunk, or use times_ps() and an analysis that takes any times"
            )
        return float(self.timesteps[1] - self.timesteps[0]) * step_fs / 1000.0

    def step_fs(self, given_fs: float | None = None) -> float:
        """Time of one of `timesteps` in fs: the one given (the integrator's step, for dumps) or the file's own.

        Raises
        ------
        LpsmdError
            If it is not positive, or neither given nor known, or another one than the file's own.
        """
        own_fs = self.timestep_fs
        step_fs = own_fs if given_fs is None else given_fs
        if step_fs is None:
            raise LpsmdError(f"{self.name}: dumps count steps, not time; give the integrator's step (timestep_fs)")
        if not (np.isfinite(step_fs) and step_fs > 0):
            raise LpsmdError(f"timestep_fs is {step_fs}, a positive number of femtoseconds is needed")
        if own_fs is not None and abs(step_fs - own_fs) > 1e-6 * own_fs:
            raise LpsmdError(
                f"{self.name}: timestep_fs is {step_fs}, this trajectory counts in {own_fs} fs: leave it out "
                "or give that"
            )
        return float(step_fs)


def read_dump(
    paths: Source | Sequence[Source],
    *,
    species: str | Sequence[str] | None = None,
    types: int | Sequence[int] | None = None,
    ids: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    elements_of_types: Sequence[str] | None = None,
    unwrap: bool = False,
    drop_truncated: bool = False,
    threads: int | None = None,
) -> Trajectory:
    """Read the LAMMPS ``custom`` dumps of one trajectory: text or binary, plain, gzip or zstd.

    Columns may stand in any order; needed are ``id``, ``element`` (or ``type``, see `elements_of_types`) and
    ``xu yu zu`` or ``xsu ysu zsu``, or ``x y z`` or ``xs ys zs`` with ``ix iy iz``. Atoms may stand in any order, cells
    be orthogonal, triclinic or general, and intervals unequal (then a warning is logged: a chunk may be missing).

    In a fixed cell positions are unwrapped with the images; in a changing one displacements are added up,

        u(i+1) = u(i) + [w(i+1) - w(i)] + [n(i+1) - n(i)] L(i+1),

    since images times a changing cell would move atoms that do not move (von Buelow, Bullerjahn, Hummer,
    doi:10.1063/5.0008316). Unwrapped columns (``xu``) take part, with the images of the cells that atoms lie in.
    Where a tilted cell flips to other vectors of the same lattice (``fix npt tri``, ``fix deform``: LAMMPS' default),
    atoms stay and their images are counted in the new vectors. A cell that otherwise changes by half a vector between
    two frames is an error.

    Parameters
    ----------
    paths
        A dump, or the dumps of the successive chunks of one replica in order of time; binary streams may be given
        instead of paths. A frame at the seam that a restart writes twice is taken once, provided that the cell and
        the positions agree to 1e-4 Angstrom and the six digits that LAMMPS writes unless told otherwise.
    species, types, ids
        Atoms to keep, by element, LAMMPS type or atom id; all if None, the common ones if several are given. Lines of
        other atoms are skipped without being checked, and take no memory.
    elements_of_types
        Elements of the types 1, 2, ...: for dumps without a column ``element`` (with one, both must agree), and for all
        binary dumps.
    unwrap
        Allow wrapped positions without images: each atom is taken to its image nearest to the frame before. An error
        if a step exceeds a third of the cell.
    drop_truncated
        Leave out a last frame that its file ends in (an interrupted run) with a warning, instead of an error.
    threads
        Threads that parse; all cores this process may use if None. The result does not depend on it.

    Raises
    ------
    LpsmdError
        If a file is missing, truncated, damaged or no such dump, if positions are wrapped without image flags, or
        not finite, if atoms come or go, or if time goes backwards: naming the file, the frame (counted from 0 in its
        file), its timestep and the line.
    """
    names, reader = _open(paths, species, types, ids, elements_of_types, unwrap, drop_truncated, threads)
    found = _trajectory(names, reader.read())
    if found.repeated_frames:
        _log.info("%s: %d repeated frames taken once", found.name, found.repeated_frames)
    if not found.equally_spaced:
        _log.warning(
            "%s: %s; if that is not meant, a chunk may have been left out", found.name, _unequal(found.timesteps)
        )
    return found


def iterate_dump(
    paths: Source | Sequence[Source],
    *,
    frames_per_block: int = 1000,
    species: str | Sequence[str] | None = None,
    types: int | Sequence[int] | None = None,
    ids: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    elements_of_types: Sequence[str] | None = None,
    unwrap: bool = False,
    drop_truncated: bool = False,
    threads: int | None = None,
) -> Iterator[Trajectory]:
    """Read dumps as `read_dump` does, in consecutive blocks, for trajectories that memory does not hold.

    Unwrapping goes on from block to block, and frames repeated at the seams of chunks are taken once (their cells
    are compared always, the positions of all atoms as long as the frame is among the last 64 MiB of positions, and
    those of four atoms if it is older).

    Parameters
    ----------
    frames_per_block
        Frames of each block; the last one may be shorter. Streaming mean squared displacements need 2 or more in the
        first one, which tells them the time between frames.
    paths, species, types, ids, elements_of_types, unwrap, drop_truncated, threads
        As for `read_dump`.

    Raises
    ------
    LpsmdError
        As from `read_dump`, when the block is reached.
    """
    if frames_per_block < 1:
        raise LpsmdError(f"frames_per_block is {frames_per_block}, a positive number is needed")
    # opened here, not at the first block: what is wrong with the arguments is told at once
    names, reader = _open(paths, species, types, ids, elements_of_types, unwrap, drop_truncated, threads)
    return _blocks(names, reader, frames_per_block)


def _blocks(names: tuple[str, ...], reader: _core.DumpReader, frames_per_block: int) -> Iterator[Trajectory]:
    while True:
        block = _trajectory(names, reader.read(frames_per_block))
        if block.n_frames == 0:
            return
        yield block


def _open(
    paths: Source | Sequence[Source],
    species: str | Sequence[str] | None,
    types: int | Sequence[int] | None,
    ids: Sequence[int] | NDArray[np.integer[Any]] | None,
    elements_of_types: Sequence[str] | None,
    unwrap: bool,
    drop_truncated: bool,
    threads: int | None,
) -> tuple[tuple[str, ...], _core.DumpReader]:
    many: Sequence[Any] = [paths] if isinstance(paths, str | os.PathLike) or is_stream(paths) else list(paths)
    if threads is not None and threads < 1:
        raise LpsmdError(f"threads is {threads}, a positive number is needed, or None for all cores")
    keep_species, keep_types, keep_ids = (
        selected_names(species),
        selected_numbers("types", types),
        selected_numbers("ids", ids),
    )
    inputs = [opener_of(source, end_at_damage=drop_truncated) for source in many]
    reader = _core.DumpReader(
        inputs,
        species=keep_species,
        types=keep_types,
        ids=keep_ids,
        elements_of_types=[] if elements_of_types is None else [str(name) for name in elements_of_types],
        unwrap=unwrap,
        drop_truncated=drop_truncated,
        threads=threads or len(os.sched_getaffinity(0)),
    )
    return tuple(name for name, _ in inputs), reader


def selected_names(given: str | Sequence[str] | None) -> list[str]:
    """The elements to keep; an empty list keeps all, so nothing may be asked for only by None."""
    if given is None:
        return []
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    if not names:
        raise LpsmdError("species is empty, at least one element is needed, or None for all")
    return names


def selected_numbers(what: str, given: Any) -> list[int]:
    """The same for types or ids: one whole number or several."""
    if given is None:
        return []
    try:
        numbers = [operator.index(number) for number in np.atleast_1d(np.asarray(given)).tolist()]
    except TypeError as failure:
        raise LpsmdError(f"{what} is {given!r}, whole numbers are needed") from failure
    if not numbers:
        raise LpsmdError(f"{what} is empty, at least one number is needed, or None for all")
    return numbers


def _trajectory(names: tuple[str, ...], found: _core.DumpTrajectory) -> Trajectory:
    for message in found.truncated:
        _log.warning("%s; this frame is left out", message)
    a, b, c = found.periodic
    return Trajectory(
        paths=names,
        timesteps=found.timesteps,
        positions_A=found.positions,
        ids=found.ids,
        elements=tuple(found.elements),
        cells_A=found.cells,
        origins_A=found.origins,
        periodic=(a, b, c),
        repeated_frames=found.repeated_frames,
        truncated_frames=len(found.truncated),
    )


def _unequal(timesteps: NDArray[np.int64]) -> str:
    """Where the intervals between frames first change."""
    gaps = np.diff(timesteps)
    first = int(np.flatnonzero(gaps != gaps[0])[0])
    return (
        f"frames are not equally spaced: {gaps[0]} steps between the first two, "
        f"{gaps[first]} between timesteps {timesteps[first]} and {timesteps[first + 1]}"
    )
