"""From a study to frames that want labels: run, judge every frame, pick those that differ, and tell what was seen."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
from ase import Atoms

from lpsmd import __version__
from lpsmd.ensemble import run_ensemble
from lpsmd.ensemble.claim import check_before
from lpsmd.ensemble.files import read_json, write_json
from lpsmd.progress import duration, watching
from lpsmd.selection.committee import Bounds
from lpsmd.selection.judging import SeenFrame
from lpsmd.selection.outcome import Selection, shares, write_frames, write_seen
from lpsmd.selection.picking import ByCommittee, Evenly, Method
from lpsmd.selection.sampling import Cell, SelectionError, cells_of, frames_of, start_of, studies_of
from lpsmd.study import GeneratedStructure, ModelSpec, Study, file_sha256

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger(__name__)

#: What was asked for, seen and picked.
RECORD = "selection.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for; inversions and volume strains make the cells, `drivers` are labels of the models that move.

    Without `bounds` no committee is asked: frames for a test are drawn evenly.
    """

    n: int
    inversions: tuple[float, ...]
    volume_strains: tuple[float, ...]
    drivers: tuple[str, ...]
    bounds: Bounds | None
    known: tuple[Path, ...]

    @property
    def part(self) -> str | None:
        """What the picked frames are for, None where a later split decides."""
        return "test" if self.bounds is None else None


def with_seed(study: Study, seed: int) -> Study:
    """The same study with other velocities and other sites."""
    structure = study.structure
    if isinstance(structure, GeneratedStructure):
        structure = replace(structure, seed=seed)
    return replace(study, seed=seed, structure=structure)


def sampled(study: Study, output: Path, request: Request) -> dict[Cell, Study]:
    """The studies that are run, by cell.

    Raises
    ------
    lpsmd.errors.LpsmdError
        If the study or the request is not fit, before anything is run.
    """
    _refuse_other_part(output, request.part)
    check_before(study, output)  # all models know all elements, also those that only vote
    cells = cells_of(study, inversions=request.inversions, volume_strains=request.volume_strains)
    studies = studies_of(study, cells, _drivers(study, request.drivers), part=request.part)
    for own in studies.values():
        own.structure.build(0)
    return studies


def _refuse_other_part(output: Path, part: str | None) -> None:
    """A folder is for training or for a test: what was picked is not written over by frames of the same dynamics."""
    record = output / RECORD
    earlier = read_json(record).get("part") if record.is_file() else part
    if earlier != part:
        found, needed = ("a test", "without") if part is None else ("training", "with")
        raise SelectionError(
            f"{output}: found frames for {found}, needed a folder of its own for a selection {needed} --uniform: give "
            "another --output"
        )


def _drivers(study: Study, labels: Sequence[str]) -> list[ModelSpec]:
    unknown = [label for label in labels if label not in [model.label for model in study.models]]
    if unknown:
        raise SelectionError(
            f"--drive: found {unknown[0]}, needed a model of the study: {', '.join(m.label for m in study.models)}"
        )
    return [model for model in study.models if not labels or model.label in labels]


def dynamics_folder(output: Path, cell: Cell) -> Path:
    """Where the study of a cell runs."""
    return output / "dynamics" / cell.name


def select_frames(
    study: Study, output: Path, request: Request, *, workers: int | None = None, console: Console | None = None
) -> Selection:
    """Run the study in every cell, judge all frames, pick, and write frames.extxyz, seen.csv, seen.png, selection.json.

    Parameters
    ----------
    study
        Models, temperatures and lengths of the dynamics; all its models vote.
    output
        Folder for everything; dynamics that is complete there is not run again.
    request
        What is wanted.
    workers
        As for `lpsmd.ensemble.run_ensemble`.
    console
        For a bar; without one progress is lines in the log `lpsmd`.

    Raises
    ------
    lpsmd.errors.LpsmdError
        If the study, the request or the known frames are not fit; as from `run_ensemble`; if no frame is between the
        bounds, with what was seen.
    """
    studies = sampled(study, output, request)
    known = _read_known(request.known, study.structure.elements)
    method = _method(study, studies.values(), request, known)
    seen: list[SeenFrame] = []
    for number, (cell, own) in enumerate(studies.items(), 1):
        _log.info("cell %d of %d: %s", number, len(studies), cell.name)
        (output / "dynamics").mkdir(parents=True, exist_ok=True)
        with watching(console) as watcher:
            ensemble = run_ensemble(own, dynamics_folder(output, cell), workers=workers, watcher=watcher)
        seen += method.judged(list(frames_of(ensemble, cell)), ensemble.output)
    selection = Selection(seen=tuple(seen), picked=tuple(method.picked(seen, request.n)), part=request.part)
    _write(output, study, request, method, known, selection)
    return selection


def _method(study: Study, studies: Iterable[Study], request: Request, known: _Known) -> Method:
    """How frames are picked; what would fail later fails here."""
    _refuse_shared_starts(known, studies, request.part)
    frames = [atoms for _, atoms in known.frames]
    if request.bounds is None:
        return Evenly(study.seed, frames)
    return ByCommittee(study.models, request.bounds, frames, study.structure.elements)


def estimate(study: Study, output: Path, request: Request, *, workers: int | None = None) -> str:
    """What `select_frames` would run, and how long: a short probe in the first cell, times the cells.

    Raises
    ------
    lpsmd.errors.LpsmdError
        As from `select_frames` and `lpsmd.ensemble.probe.probe_study`.
    """
    from lpsmd.ensemble.probe import probe_study

    studies = sampled(study, output, request)
    method = _method(study, studies.values(), request, _read_known(request.known, study.structure.elements))
    cell, own = next(iter(studies.items()))
    found = probe_study(own, dynamics_folder(output, cell), workers=workers)
    frames = len(studies) * len(own.conditions) * own.ensemble.replicas * own.dynamics.frames
    return "\n".join(
        [
            f"{len(studies)} cells: {', '.join(each.name for each in studies)}",
            str(found),
            f"in all cells {duration(len(studies) * found.wall_s)}; {frames} frames, {method.summary}; "
            f"{request.n} to pick",
        ]
    )


# ----- what is known -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Frames, each with its place as messages say it, and the hash of each file as it was when it was read."""

    frames: tuple[tuple[str, Atoms], ...]
    sha256: dict[str, str]


def _read_known(files: Sequence[Path], elements: Sequence[str]) -> _Known:
    frames: list[tuple[str, Atoms]] = []
    sha256: dict[str, str] = {}
    for file in files:
        try:
            found = list(ase.io.iread(file, ":"))
            sha256[str(file)] = file_sha256(file)
        except Exception as error:  # ASE's readers raise anything
            raise SelectionError(f"--known {file}: cannot be read: {error}") from error
        frames += [(f"--known {file} frame {number}", atoms) for number, atoms in enumerate(found)]
    for place, atoms in frames:
        others = sorted(set(atoms.get_chemical_symbols()) - set(elements))
        if others or not atoms.pbc.all():
            what = ", ".join(others) or "no three periodic directions"
            raise SelectionError(f"{place}: found {what}, needed periodic frames of {', '.join(elements)}")
    return _Known(frames=tuple(frames), sha256=sha256)


def _refuse_shared_starts(known: _Known, studies: Iterable[Study], part: str | None) -> None:
    """No dynamics for training from a start that is in a test, and none for a test from one that may be trained on."""
    if not any("start" in atoms.info for _, atoms in known.frames):
        return
    ours = {start_of(own.structure.build(index)) for own in studies for index in range(own.structure.count)}
    for place, atoms in known.frames:
        start, other = atoms.info.get("start"), atoms.info.get("part")
        if start in ours and (part == "test") != (other == "test"):
            raise SelectionError(
                f"{place}: found part {other or 'none'} and start {start}, from which "
                f"{'a test' if part == 'test' else 'training'} would be drawn here, needed other starts: give another "
                "--seed (for a structure file, another file)"
            )


def _write(output: Path, study: Study, request: Request, method: Method, known: _Known, selection: Selection) -> None:
    from lpsmd.selection.plot import save_seen_plot

    write_seen(output / "seen.csv", selection)
    if request.bounds is not None:
        save_seen_plot(output / "seen.png", selection, request.bounds)
    write_json(
        output / RECORD,
        {
            "lpsmd": __version__,
            "study": study.to_dict(),
            "committee": method.committee,
            "drivers": list(request.drivers),
            "bounds": None if request.bounds is None else asdict(request.bounds),
            "part": request.part,
            "known": known.sha256,
            "seen": [asdict(row) for row in shares(selection)],
            "picked": [{"frame": entry.seen.frame.name, "distance": entry.distance} for entry in selection.picked],
        },
    )
    write_frames(output / "frames.extxyz", selection)
