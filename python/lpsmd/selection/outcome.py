"""What was seen and picked: frames for `lpsmd label`, a line for every frame, a table by temperature and disorder."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from lpsmd.ensemble.files import write_atomically
from lpsmd.selection.committee import Trust
from lpsmd.selection.judging import Refusal, SeenFrame


@dataclass(frozen=True, kw_only=True)
class Picked:
    """A frame that was picked; `distance` is that to the nearest one known or picked before."""

    seen: SeenFrame
    distance: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All frames that were seen, those that were picked in their order, and how many frames were known."""

    seen: tuple[SeenFrame, ...]
    picked: tuple[Picked, ...]
    known: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """What was seen at one temperature and inversion; deviations are of frames that were not refused."""

    temperature_K: float
    inversion: float
    frames: int
    refused: dict[str, int]
    trust: dict[str, int]
    median_deviation_eV_per_A: float | None
    picked: int


def shares(selection: Selection) -> list[Share]:
    """What was seen by temperature and inversion, ascending."""
    groups: dict[tuple[float, float], list[SeenFrame]] = {}
    for entry in selection.seen:
        groups.setdefault((entry.frame.temperature_K, entry.frame.cell.inversion), []).append(entry)
    picked = Counter((p.seen.frame.temperature_K, p.seen.frame.cell.inversion) for p in selection.picked)
    return [_share(key, groups[key], picked[key]) for key in sorted(groups)]


def _share(key: tuple[float, float], group: Sequence[SeenFrame], picked: int) -> Share:
    deviations = [entry.deviation_eV_per_A for entry in group if entry.deviation_eV_per_A is not None]
    refused = Counter(entry.refusal for entry in group)
    trust = Counter(entry.trust for entry in group)
    return Share(
        temperature_K=key[0],
        inversion=key[1],
        frames=len(group),
        refused={str(refusal): refused[refusal] for refusal in Refusal},
        trust={str(place): trust[place] for place in Trust},
        median_deviation_eV_per_A=float(np.median(deviations)) if deviations else None,
        picked=picked,
    )


def table(selection: Selection) -> str:
    """What was seen, for people: percents of all frames, deviations in eV/Angstrom."""
    lines = [
        f"{'T/K':>6s} {'inversion':>9s} {'frames':>7s} {'refused %':>9s} {'below %':>8s} {'within %':>8s} "
        f"{'above %':>8s} {'median':>7s} {'picked':>7s}"
    ]
    for row in shares(selection):
        percents = [100.0 * count / row.frames for count in (sum(row.refused.values()), *row.trust.values())]
        median = row.median_deviation_eV_per_A
        lines.append(
            f"{row.temperature_K:6g} {row.inversion:9g} {row.frames:7d} {percents[0]:9.1f} {percents[1]:8.1f} "
            f"{percents[2]:8.1f} {percents[3]:8.1f} {'-' if median is None else f'{median:.3f}':>7s} {row.picked:7d}"
        )
    refused = Counter(entry.refusal for entry in selection.seen if entry.refusal)
    if refused:
        lines.append("refused: " + ", ".join(f"{count} {refusal}" for refusal, count in refused.items()))
    return "\n".join(lines)


def write_frames(file: Path, selection: Selection) -> None:
    """Write what was picked as extended XYZ, in its order."""
    stream = io.StringIO()
    ase.io.write(stream, [labelless(entry.seen) for entry in selection.picked], format="extxyz")
    write_atomically(file, stream.getvalue())


def write_seen(file: Path, selection: Selection) -> None:
    """Write a line for every frame as CSV."""
    write_atomically(file, _csv(selection))


def labelless(seen: SeenFrame) -> Atoms:
    """The atoms as `lpsmd label` takes them, with where they come from."""
    frame = seen.frame
    atoms: Atoms = frame.atoms.copy()
    atoms.info = {
        "frame": frame.name,
        "kind": "md",
        "trajectory": frame.trajectory,
        "start": frame.start,
        "time_ps": frame.time_ps,
        "model": frame.model,
        "temperature_K": frame.temperature_K,
        "inversion": frame.cell.inversion,
        "volume_strain": frame.cell.volume_strain,
        "committee_deviation": seen.deviation_eV_per_A,
    }
    return atoms


def _csv(selection: Selection) -> str:
    """A line for each frame that was seen."""
    picked = {id(entry.seen): rank for rank, entry in enumerate(selection.picked, 1)}
    lines = [
        "trajectory,start,time_ps,model,temperature_K,inversion,volume_strain,committee_deviation_eV_per_A,verdict,"
        "picked"
    ]
    for entry in selection.seen:
        frame, deviation = entry.frame, entry.deviation_eV_per_A
        cell = frame.cell
        values = [
            frame.trajectory,
            frame.start,
            f"{frame.time_ps:g}",
            frame.model,
            f"{frame.temperature_K:g}",
            f"{cell.inversion:g}",
            f"{cell.volume_strain:g}",
            "" if deviation is None else f"{deviation:.4f}",
            entry.verdict,
            str(picked.get(id(entry), "")),
        ]
        lines.append(",".join(values))
    return "\n".join(lines) + "\n"
