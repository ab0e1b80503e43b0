"""From a study to frames that want labels: run, judge every frame, pick those that differ, and tell what was seen."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd import __version__
from lpsmd.ensemble import run_ensemble
from lpsmd.ensemble.claim import check_before
from lpsmd.ensemble.files import write_json
from lpsmd.progress import duration, watching
from lpsmd.selection.committee import Bounds, Committee, Trust
from lpsmd.selection.diversity import farthest_points, mean_soap
from lpsmd.selection.judging import Deviations, SeenFrame, judge
from lpsmd.selection.outcome import Picked, Selection, shares, write_frames, write_seen
from lpsmd.selection.sampling import Cell, SampledFrame, SelectionError, cells_of, frames_of, studies_of
from lpsmd.study import GeneratedStructure, ModelSpec, Study, file_sha256

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger(__name__)

#: What the committee said, beside the dynamics of a cell.
DEVIATIONS = "deviations.json"
#: A line about the frames that were judged this often.
_LINE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for; inversions and volume strains make the cells, `drivers` are labels of the models that move."""

    n: int
    inversions: tuple[float, ...]
    volume_strains: tuple[float, ...]
    drivers: tuple[str, ...]
    bounds: Bounds
    known: tuple[Path, ...]


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
    check_before(study, output)  # all models know all elements, also those that only vote
    cells = cells_of(study, inversions=request.inversions, volume_strains=request.volume_strains)
    studies = studies_of(study, cells, _drivers(study, request.drivers))
    for own in studies.values():
        own.structure.build(0)
    return studies


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
    committee = Committee(study.models)
    elements = study.structure.elements
    known = mean_soap(_read_known(request.known, elements), elements)
    seen: list[SeenFrame] = []
    for number, (cell, own) in enumerate(studies.items(), 1):
        _log.info("cell %d of %d: %s", number, len(studies), cell.name)
        (output / "dynamics").mkdir(parents=True, exist_ok=True)
        with watching(console) as watcher:
            ensemble = run_ensemble(own, dynamics_folder(output, cell), workers=workers, watcher=watcher)
        deviations = Deviations(committee, ensemble.output / DEVIATIONS)
        seen += _judged(list(frames_of(ensemble, cell)), deviations, request.bounds)
    selection = _pick(seen, known, elements, request)
    _write(output, study, request, committee, selection)
    return selection


def estimate(study: Study, output: Path, request: Request, *, workers: int | None = None) -> str:
    """What `select_frames` would run, and how long: a short probe in the first cell, times the cells.

    Raises
    ------
    lpsmd.errors.LpsmdError
        As from `select_frames` and `lpsmd.ensemble.probe.probe_study`.
    """
    from lpsmd.ensemble.probe import probe_study

    studies = sampled(study, output, request)
    labels = Committee(study.models).labels
    known = _read_known(request.known, study.structure.elements)
    cell, own = next(iter(studies.items()))
    found = probe_study(own, dynamics_folder(output, cell), workers=workers)
    frames = len(studies) * len(own.conditions) * own.ensemble.replicas * own.dynamics.frames
    return "\n".join(
        [
            f"{len(studies)} cells: {', '.join(each.name for each in studies)}",
            str(found),
            f"in all cells {duration(len(studies) * found.wall_s)}; {frames} frames, judged by "
            + " and ".join(f"{', '.join(names)} ({functional})" for functional, names in labels.items())
            + f"; {request.n} to pick, {len(known)} known",
        ]
    )


# ----- what is known -----------------------------------------------------------------------------------------


def _read_known(files: Sequence[Path], elements: Sequence[str]) -> list[Atoms]:
    return [atoms for file in files for atoms in _read_set(file, elements)]


def _read_set(file: Path, elements: Sequence[str]) -> list[Atoms]:
    try:
        found = list(ase.io.iread(file, ":"))
    except Exception as error:  # ASE's readers raise anything
        raise SelectionError(f"--known {file}: cannot be read: {error}") from error
    for number, atoms in enumerate(found):
        others = sorted(set(atoms.get_chemical_symbols()) - set(elements))
        if others or not atoms.pbc.all():
            what = ", ".join(others) or "no three periodic directions"
            raise SelectionError(
                f"--known {file} frame {number}: found {what}, needed periodic frames of {', '.join(elements)}"
            )
    return found


def _judged(frames: Sequence[SampledFrame], deviations: Deviations, bounds: Bounds) -> Iterator[SeenFrame]:
    started = said = time.monotonic()
    for number, frame in enumerate(frames, 1):
        yield judge(frame, deviations, bounds)
        now = time.monotonic()
        if now - said > _LINE_S or number == len(frames):
            deviations.keep()
            left = (now - started) / number * (len(frames) - number)
            _log.info("%d of %d frames judged%s", number, len(frames), f"; {duration(left)} left" if left else "")
            said = now


def _pick(
    seen: Sequence[SeenFrame], known: NDArray[np.float64], elements: Sequence[str], request: Request
) -> Selection:
    candidates = [entry for entry in seen if entry.trust is Trust.WITHIN]
    if not candidates:
        raise SelectionError(
            f"found no frame between the bounds: {_counts(seen)}; set --lower and --upper by the deviations, "
            f"{_range(seen)}, or sample more"
        )
    deviations = np.array([entry.deviation_eV_per_A for entry in candidates], dtype=float)
    described = mean_soap([entry.frame.atoms for entry in candidates], elements)
    taken = farthest_points(
        described, known, _groups(candidates, deviations), n=request.n, first=int(np.argmax(deviations))
    )
    if len(taken) < request.n:
        _log.warning("warning: %d frames wanted, %d that differ are between the bounds", request.n, len(taken))
    picked = tuple(Picked(seen=candidates[index], distance=distance) for index, distance in taken)
    return Selection(seen=tuple(seen), picked=picked, known=len(known))


def _groups(candidates: Sequence[SeenFrame], deviations: NDArray[np.float64]) -> list[list[int]]:
    """Candidates by cell and temperature; that of the largest median deviation first."""
    groups: dict[tuple[Cell, float], list[int]] = {}
    for index, entry in enumerate(candidates):
        groups.setdefault((entry.frame.cell, entry.frame.temperature_K), []).append(index)
    return sorted(groups.values(), key=lambda group: -float(np.median(deviations[group])))


def _counts(seen: Sequence[SeenFrame]) -> str:
    found = Counter(entry.verdict for entry in seen)
    return ", ".join([f"{len(seen)} frames", *(f"{count} {what}" for what, count in sorted(found.items()))])


def _range(seen: Sequence[SeenFrame]) -> str:
    found = [entry.deviation_eV_per_A for entry in seen if entry.deviation_eV_per_A is not None]
    return f"{min(found):.3g} to {max(found):.3g} eV/Angstrom" if found else "of which there are none"


def _write(output: Path, study: Study, request: Request, committee: Committee, selection: Selection) -> None:
    from lpsmd.selection.plot import save_seen_plot

    write_seen(output / "seen.csv", selection)
    save_seen_plot(output / "seen.png", selection, request.bounds)
    write_json(
        output / "selection.json",
        {
            "lpsmd": __version__,
            "study": study.to_dict(),
            "committee": committee.labels,
            "drivers": list(request.drivers),
            "bounds": asdict(request.bounds),
            "known": {str(file): file_sha256(file) for file in request.known},
            "known_frames": selection.known,
            "seen": [asdict(row) for row in shares(selection)],
            "picked": [
                {"frame": p.seen.frame.name, "distance": p.distance if np.isfinite(p.distance) else None}
                for p in selection.picked
            ],
        },
    )
    write_frames(output / "frames.extxyz", selection)
