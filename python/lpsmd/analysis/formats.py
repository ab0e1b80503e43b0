"""Trajectories of any program: LAMMPS dumps by the compiled reader, other formats through MDAnalysis or ASE."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.analysis.streams import opener_of
from lpsmd.analysis.trajectory import Trajectory, read_dump, selected_names, selected_numbers
from lpsmd.errors import LpsmdError

_log = logging.getLogger(__name__)

# Formats by the end of the name, compression taken off.
_MDANALYSIS = (".xtc", ".trr", ".dcd", ".h5md", ".nc", ".ncdf")
_ASE = {".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj"}
_KNOWN = "LAMMPS dump, XDATCAR, .extxyz, .traj, .xtc, .trr, .dcd, .h5md, .nc"
# Files of single precision (XTC: a hundredth of an Angstrom) hold the frame at a seam twice, equal to this.
_REPEAT_A = 0.02
# One frame written twice, rounded the same way: 8 digits of text or single precision.
_SAME_A, _SAME_RELATIVE = 1e-6, 1e-6
# Times are stored in single precision.
_TIME_RELATIVE = 1e-4


@dataclass
class _Frames:
    """What a reader collects: one entry for each frame."""

    elements: tuple[str, ...]
    ids: NDArray[np.int64]
    positions: list[NDArray[np.float64]] = field(default_factory=list)
    cells: list[NDArray[np.float64]] = field(default_factory=list)
    times_fs: list[float] = field(default_factory=list)
    periodic: tuple[bool, bool, bool] = (True, True, True)
    repeated: int = 0
    last: NDArray[np.float64] | None = None  # all atoms of the last frame, and its cell


def _same_again(frames: _Frames, name: str, *, first: bool, positions: Any, cell: Any) -> bool:
    """Whether the first frame of a file is the last one of the file before, which formats without time cannot say."""
    now = np.vstack([positions, cell]).astype(np.float64)
    before, frames.last = frames.last, now
    if not first or before is None or before.shape != now.shape:
        return False
    allowed = _SAME_A + _SAME_RELATIVE * float(np.abs(now).max(initial=0.0))
    if np.abs(now - before).max() > allowed:
        return False
    frames.repeated += 1
    _log.info("%s: its first frame is the last one of the file before and is taken once", name)
    return True


def read_trajectory(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    topology: str | os.PathLike[str] | None = None,
    frame_interval_fs: float | None = None,
    species: str | Sequence[str] | None = None,
    types: int | Sequence[int] | None = None,
    ids: Sequence[int] | None = None,
    elements_of_types: Sequence[str] | None = None,
    unwrap: bool = False,
    drop_truncated: bool = False,
    threads: int | None = None,
) -> Trajectory:
    """Read the successive files of one trajectory, of any format known here.

    LAMMPS dumps go to `read_dump`; XTC, TRR, DCD, H5MD and NetCDF are read by MDAnalysis; XDATCAR, extended XYZ and
    ASE's ``.traj`` by ASE. XDATCAR holds wrapped positions and is always unwrapped by nearest images.

    Formats other than dumps hold no integrator steps: `Trajectory.timesteps` then counts in units of
    `Trajectory.timestep_fs`, the time between (the nearest) two frames.

    Parameters
    ----------
    paths
        A file, or the successive files of one trajectory in order of time, all of one format. A first frame that is
        the last one of the file before, as continued runs write it, is taken once.
    topology
        What tells the elements to MDAnalysis: any file that it reads.
    frame_interval_fs
        Time between two frames in fs: needed where the format has no time, and used instead of it elsewhere.
    species, ids
        Atoms to keep, by element or by number (from 1, in order of the file).
    types, elements_of_types, drop_truncated, threads
        For LAMMPS dumps, see `read_dump`; `elements_of_types` also for a topology whose types are numbers.
    unwrap
        Take each atom to its image nearest to the frame before; an error if a step exceeds a third of the cell.
        Without it, positions that jump by a cell are an error.

    Raises
    ------
    LpsmdError
        If the format is not known, time or elements are missing, or positions are wrapped; and as from `read_dump`.
    """
    many = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    names = [os.fspath(path) for path in many]
    if not names:
        raise LpsmdError("no trajectory file given; at least one is needed: name the files of the trajectory")
    kind = _kind_of(names[0])
    for name in names[1:]:
        if _kind_of(name) != kind:
            raise LpsmdError(f"{name}: is no {kind} file as {names[0]} is; one format is needed for all files")
    if kind == "dump":
        found = read_dump(
            names,
            species=species,
            types=types,
            ids=ids,
            elements_of_types=elements_of_types,
            unwrap=unwrap,
            drop_truncated=drop_truncated,
            threads=threads,
        )
        return found if frame_interval_fs is None else _with_interval(found, frame_interval_fs)
    if types is not None:
        raise LpsmdError(f"{names[0]}: atoms cannot be selected by type in this format: select by species or ids")
    chosen = _Choice(selected_names(species), selected_numbers("ids", ids))
    if kind == "MDAnalysis":
        frames = _read_mdanalysis(names, topology, chosen, elements_of_types, timed=frame_interval_fs is None)
    else:
        if frame_interval_fs is None:
            raise LpsmdError(f"{names[0]}: this format holds no time; give the time between frames (frame_interval_fs)")
        frames = _read_ase(names, kind, chosen)
    return _assemble(names, frames, frame_interval_fs, nearest=unwrap or kind == "vasp-xdatcar")


@dataclass(frozen=True)
class _Choice:
    species: list[str]
    ids: list[int]

    def indices(self, name: str, elements: Sequence[str]) -> NDArray[np.int64]:
        kept = np.ones(len(elements), dtype=bool)
        for element in self.species:
            if element not in elements:
                present = ", ".join(dict.fromkeys(elements))
                raise LpsmdError(f"{name}: no atom of element '{element}'; found {present}: choose among these")
        if self.species:
            kept &= np.isin(np.array(elements), self.species)
        if self.ids:
            outside = [i for i in self.ids if not 1 <= i <= len(elements)]
            if outside:
                raise LpsmdError(f"{name}: no atom of id {outside[0]}; ids from 1 to {len(elements)} are there")
            kept &= np.isin(np.arange(1, len(elements) + 1), self.ids)
        if not kept.any():
            raise LpsmdError(f"{name}: no atom is in all of the selections: ask for fewer at once")
        return np.flatnonzero(kept).astype(np.int64)


def _kind_of(name: str) -> str:
    """One of "dump", "MDAnalysis", or the format's name in ASE."""
    plain = re.sub(r"\.(gz|bz2|xz)$", "", Path(name).name)
    suffix = Path(plain).suffix.lower()
    if "XDATCAR" in plain:
        return "vasp-xdatcar"
    if suffix in _ASE:
        return _ASE[suffix]
    if suffix in _MDANALYSIS:
        return "MDAnalysis"
    if not Path(name).is_file() or _starts_like_dump(name):
        return "dump"
    raise LpsmdError(f"{name}: the format is not known; one of these is needed: {_KNOWN}")


def _starts_like_dump(name: str) -> bool:
    _, opener = opener_of(name, end_at_damage=True)
    head = bytearray(64)
    if opener is None:
        with Path(name).open("rb") as file:
            size = file.readinto(head)
    else:
        stream = opener()
        try:
            size = stream.readinto(memoryview(head))
        finally:
            stream.close()
    start = bytes(head[:size])
    return not start or start.lstrip().startswith(b"ITEM:") or b"DUMPCUSTOM" in start


def _with_interval(found: Trajectory, frame_interval_fs: float) -> Trajectory:
    """A dump whose frames are that far apart: the integrator's step follows."""
    if found.n_frames < 2:
        return found
    steps = int(found.timesteps[1] - found.timesteps[0])
    return replace(found, timestep_fs=frame_interval_fs / steps)


# ----- ASE -------------------------------------------------------------------------------------------------


def _read_ase(names: Sequence[str], kind: str, choice: _Choice) -> _Frames:
    from ase.io import iread

    frames: _Frames | None = None
    chosen = np.empty(0, dtype=np.int64)
    elements: list[str] = []
    for name in names:
        count = 0
        for count, atoms in enumerate(_quietly(name, lambda name=name: iread(name, index=":", format=kind)), start=1):
            symbols = atoms.get_chemical_symbols()
            if frames is None:
                elements = symbols
                chosen = choice.indices(name, elements)
                frames = _Frames(tuple(elements[i] for i in chosen), chosen + 1, periodic=_three(atoms.pbc))
            if symbols != elements:
                raise LpsmdError(
                    f"{name}, frame {count - 1}: found {len(symbols)} atoms {atoms.get_chemical_formula()}, in the "
                    f"first frame there were {len(elements)}, in another order or number; the same atoms are needed in "
                    "every frame: is this file of the same trajectory?"
                )
            cell = np.asarray(atoms.cell)
            if not _same_again(frames, name, first=count == 1, positions=atoms.positions, cell=cell):
                _add(frames, name, count - 1, atoms.positions[chosen], cell)
        if count == 0:
            raise LpsmdError(f"{name}: holds no frame: check that the run has written it")
    assert frames is not None
    return frames


def _quietly(name: str, open_it: Any) -> Iterator[Any]:
    """The frames of a foreign reader; what it raises becomes an error that names the file."""
    try:
        yield from open_it()
    except LpsmdError:
        raise
    except Exception as failure:
        raise LpsmdError(f"{name}: cannot be read ({type(failure).__name__}: {failure}); check the file") from failure


def _three(flags: Any) -> tuple[bool, bool, bool]:
    a, b, c = (bool(flag) for flag in flags)
    return a, b, c


def _add(frames: _Frames, name: str, frame: int, positions: Any, cell: Any) -> None:
    x = np.array(positions, dtype=np.float64)
    if not np.isfinite(x).all():
        atom = int(frames.ids[int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])])
        raise LpsmdError(
            f"{name}, frame {frame}: the position of atom {atom} is not finite, finite numbers are needed: the "
            "simulation blew up at or before this frame"
        )
    frames.positions.append(x)
    frames.cells.append(np.array(cell, dtype=np.float64))


# ----- MDAnalysis ------------------------------------------------------------------------------------------


def _read_mdanalysis(
    names: Sequence[str],
    topology: str | os.PathLike[str] | None,
    choice: _Choice,
    elements_of_types: Sequence[str] | None,
    *,
    timed: bool,
) -> _Frames:
    if topology is None:
        raise LpsmdError(
            f"{names[0]}: this format does not tell the elements; give a topology (PDB, GRO, LAMMPS data ...)"
        )
    frames: _Frames | None = None
    for name in names:
        universe = _universe(name, os.fspath(topology))
        if frames is None:
            elements = _elements(universe, os.fspath(topology), elements_of_types)
            chosen = choice.indices(name, elements)
            periodic = universe.trajectory.ts.dimensions is not None
            frames = _Frames(tuple(elements[i] for i in chosen), chosen + 1, periodic=(periodic,) * 3)
        before = frames.times_fs[-1] if frames.times_fs else -np.inf
        for index, step in enumerate(_quietly(name, lambda universe=universe: iter(universe.trajectory))):
            time_fs = 1000.0 * float(step.time)
            positions = step.positions[frames.ids - 1]
            if timed and time_fs <= before * (1 + _TIME_RELATIVE):
                _check_repeat(frames, name, index, time_fs, positions)
                continue
            cell = np.zeros((3, 3)) if step.dimensions is None else step.triclinic_dimensions
            first = index == 0 and not timed
            if _same_again(frames, name, first=first, positions=step.positions, cell=cell):
                continue
            _add(frames, name, index, positions, cell)
            frames.times_fs.append(time_fs)
        universe.trajectory.close()
    assert frames is not None
    return frames


def _universe(name: str, topology: str) -> Any:
    # slow to import, and not needed for dumps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import MDAnalysis

        try:
            return MDAnalysis.Universe(topology, name)
        except Exception as failure:
            raise LpsmdError(
                f"{name}: cannot be read with the topology {topology} ({type(failure).__name__}: {failure}); "
                "check both files"
            ) from failure


def _elements(universe: Any, topology: str, elements_of_types: Sequence[str] | None) -> list[str]:
    atoms = universe.atoms
    if elements_of_types:
        types = [str(t) for t in atoms.types]
        wrong = next((t for t in types if not t.isdigit() or not 1 <= int(t) <= len(elements_of_types)), None)
        if wrong is not None:
            raise LpsmdError(
                f"{topology}: found type '{wrong}', a number from 1 to {len(elements_of_types)} is needed where "
                "elements_of_types is given"
            )
        return [elements_of_types[int(t) - 1] for t in types]
    elements = [str(e) for e in getattr(atoms, "elements", [])]
    if not elements or not all(elements):
        raise LpsmdError(
            f"{topology}: tells no element for each atom; give a topology with elements (PDB with its element column), "
            "or elements_of_types for types that are numbers"
        )
    return elements


def _check_repeat(frames: _Frames, name: str, index: int, time_fs: float, positions: Any) -> None:
    """A frame of a time that was read before, as continued runs write it."""
    times = np.array(frames.times_fs)
    at = int(np.argmin(np.abs(times - time_fs)))
    if abs(times[at] - time_fs) > _TIME_RELATIVE * max(abs(time_fs), 1.0):
        raise LpsmdError(
            f"{name}, frame {index}: its time is {time_fs / 1000:g} ps, before {times[-1] / 1000:g} ps of the file "
            "before; give the files in order of time, or frame_interval_fs if their times are not meant"
        )
    moved = float(np.abs(positions - frames.positions[at]).max())
    if moved > _REPEAT_A:
        raise LpsmdError(
            f"{name}, frame {index}: the time {time_fs / 1000:g} ps was read before with other positions (an atom "
            f"moved by {moved:.3g} Angstrom); give the files of one trajectory, or frame_interval_fs if their times "
            "are not meant"
        )
    frames.repeated += 1


# ----- both ------------------------------------------------------------------------------------------------


def _assemble(names: Sequence[str], frames: _Frames, frame_interval_fs: float | None, *, nearest: bool) -> Trajectory:
    name = names[0]
    positions, cells = np.array(frames.positions), np.array(frames.cells)
    if any(frames.periodic):
        volumes = np.abs(np.linalg.det(cells))
        if not (volumes > 0).all():
            bad = int(np.flatnonzero(~(volumes > 0))[0])
            raise LpsmdError(f"{name}, frame {bad}: the cell has no volume, three cell vectors are needed")
        if not nearest:
            _check_unwrapped(name, positions, cells, frames.periodic)
        positions = _core.unwrap(name, positions, cells, frames.periodic, nearest=nearest)
    timesteps, timestep_fs = _steps(name, frames, frame_interval_fs)
    for array in (positions, cells, timesteps):
        array.flags.writeable = False
    if frames.repeated:
        _log.info("%s: %d repeated frames taken once", name, frames.repeated)
    return Trajectory(
        paths=tuple(names),
        timesteps=timesteps,
        positions_A=positions,
        ids=frames.ids,
        elements=frames.elements,
        cells_A=cells,
        origins_A=np.zeros((len(positions), 3)),
        periodic=frames.periodic,
        repeated_frames=frames.repeated,
        timestep_fs=timestep_fs,
    )


def _check_unwrapped(
    name: str, positions: NDArray[np.float64], cells: NDArray[np.float64], periodic: tuple[bool, bool, bool]
) -> None:
    """Wrapped positions look fine and give a displacement without sense: no atom moves by half a cell in a step."""
    before = positions[0] @ np.linalg.inv(cells[0])
    for frame in range(1, len(positions)):
        now = positions[frame] @ np.linalg.inv(cells[frame])
        flip = np.rint(cells[frame] @ np.linalg.inv(cells[frame - 1]))
        if abs(np.linalg.det(flip)) > 0.5:  # other vectors of the same lattice
            before = before @ np.linalg.inv(flip)
        step = np.abs(now - before)[:, list(periodic)]
        if step.size and step.max() > 0.5:
            atom = int(np.argmax(step.max(axis=1)))
            raise LpsmdError(
                f"{name}, frame {frame}: atom {atom + 1} of those selected moves {step.max():.3g} of the cell in one "
                "step, at most half is possible for unwrapped positions; they are wrapped: ask for unwrapping "
                "(unwrap=True)"
            )
        before = now


def _steps(name: str, frames: _Frames, frame_interval_fs: float | None) -> tuple[NDArray[np.int64], float | None]:
    """Times as whole multiples of the shortest interval, [F], and that interval."""
    n_frames = len(frames.positions)
    if frame_interval_fs is not None:
        if not (np.isfinite(frame_interval_fs) and frame_interval_fs > 0):
            raise LpsmdError(f"frame_interval_fs is {frame_interval_fs}, a positive number of femtoseconds is needed")
        return np.arange(n_frames), float(frame_interval_fs)
    times = np.array(frames.times_fs)
    if n_frames < 2:
        return np.zeros(n_frames, dtype=np.int64), None
    unit = float(np.median(np.diff(times)))
    multiples = (times - times[0]) / unit
    steps = np.rint(multiples).astype(np.int64)
    if unit <= 0 or np.abs(multiples - steps).max() > 0.01 or (np.diff(steps) <= 0).any():
        raise LpsmdError(
            f"{name}: the times of its frames are no multiples of their interval of {unit:g} fs; give the time between "
            "frames (frame_interval_fs)"
        )
    return steps, unit
