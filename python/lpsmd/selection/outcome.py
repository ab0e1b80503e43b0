"""What was seen and picked: frames for `lpsmd label`, a line for every frame, a table by temperature and disorder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from lpsmd.dataset.extxyz import as_extxyz
from lpsmd.ensemble.files import write_atomically
from lpsmd.selection.committee import Trust
from lpsmd.selection.judging import Refusal, SeenFrame


@dataclass(frozen=True, kw_only=True)
class Picked:
    """A frame that was picked; `distance` is that to the nearest one known or picked before, None if there is none."""

    seen: SeenFrame
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All frames that were seen, and those that were picked in their order.

    `part` is what picked frames are for, None where a later split decides.
    """

    seen: tuple[SeenFrame, ...]
    picked: tuple[Picked, ...]
    part: str | None = None

    @property
    def has_deviations(self) -> bool:
        """Whether a committee was asked."""
        return any(entry.trust for entry in self.seen)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What was seen at one temperature and inversion; deviations are of frames that were not refused."""

    temperature_K: float
    inversion: float | None
    frames: int
    refused: dict[str, int]
    trust: dict[str, int]
    median_deviation_eV_per_A: float | None
    picked: int


def shares(selection: Selection) -> list[Share]:
    """What was seen by temperature and inversion, ascending."""
    groups: dict[tuple[float, float | None], list[SeenFrame]] = {}
    for entry in selection.seen:
        groups.setdefault((entry.frame.temperature_K, entry.frame.cell.inversion), []).append(entry)
    picked = Counter((p.seen.frame.temperature_K, p.seen.frame.cell.inversion) for p in selection.picked)
    return [_share(key, groups[key], picked[key]) for key in sorted(groups)]


def _share(key: tuple[float, float | None], group: Sequence[SeenFrame], picked: int) -> Share:
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
    asked = selection.has_deviations
    places = "".join(f" {f'{place} %':>8s}" for place in Trust) + f" {'median':>7s}" if asked else ""
    lines = [f"{'T/K':>6s} {'inversion':>9s} {'frames':>7s} {'refused %':>9s}{places} {'picked':>7s}"]
    lines += [_table_row(row, with_deviations=asked) for row in shares(selection)]
    refused = Counter(entry.refusal for entry in selection.seen if entry.refusal)
    if refused:
        lines.append("refused: " + ", ".join(f"{count} {refusal}" for refusal, count in refused.items()))
    return "\n".join(lines)


def _table_row(row: Share, *, with_deviations: bool) -> str:
    inversion = "-" if row.inversion is None else f"{row.inversion:g}"
    refused, *placed = [100.0 * count / row.frames for count in (sum(row.refused.values()), *row.trust.values())]
    median = "-" if row.median_deviation_eV_per_A is None else f"{row.median_deviation_eV_per_A:.3f}"
    places = "".join(f" {percent:8.1f}" for percent in placed) + f" {median:>7s}" if with_deviations else ""
    return f"{row.temperature_K:6g} {inversion:>9s} {row.frames:7d} {refused:9.1f}{places} {row.picked:7d}"


def write_frames(file: Path, selection: Selection) -> None:
    """Write what was picked as extended XYZ, in its order."""
    write_atomically(file, as_extxyz([labelless(entry.seen, selection.part) for entry in selection.picked]))


def write_seen(file: Path, selection: Selection) -> None:
    """Write a line for every frame as CSV."""
    write_atomically(file, _csv(selection))


def labelless(seen: SeenFrame, part: str | None) -> Atoms:
    """The atoms as `lpsmd label` takes them, with where they come from, and what they are for if that is decided."""
    frame = seen.frame
    atoms: Atoms = frame.atoms.copy()
    origin = {
        "frame": frame.name,
        "kind": "md",
        "part": part,
        "trajectory": frame.trajectory,
        "start": frame.start,
        "time_ps": frame.time_ps,
        "model": frame.model,
        "temperature_K": frame.temperature_K,
        "inversion": frame.cell.inversion,
        "volume_strain": frame.cell.volume_strain,
        "committee_deviation": seen.deviation_eV_per_A,
    }
    atoms.info = {key: value for key, value in origin.items() if value is not None}
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
            "" if cell.inversion is None else f"{cell.inversion:g}",
            f"{cell.volume_strain:g}",
            "" if deviation is None else f"{deviation:.4f}",
            entry.verdict,
            str(picked.get(id(entry), "")),
        ]
        lines.append(",".join(values))
    return "\n".join(lines) + "\n"
