"""What is in labelled sets: counts by part and region, sizes of forces, spread of energies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from lpsmd.dataset.folder import Dataset, read_dataset
from lpsmd.dataset.keys import FRAME, KIND, PART, PARTS
from lpsmd.dataset.splitting import Nearest, nearest_between_parts

#: What a set is told apart by; volumes to a thousandth, since strains are often computed.
_REGIONS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    (KIND, str),
    ("temperature_K", lambda value: f"{float(value):g}"),
    ("inversion", lambda value: f"{float(value):g}"),
    ("volume_strain", lambda value: f"{round(float(value), 3):+g}"),
)
_NO_PART = "no part"


@dataclass(frozen=True, kw_only=True)
class Region:
    """Geometries with one value of a key, by part; `value` is "-" where the key is missing."""

    key: str
    value: str
    frames: int
    by_part: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SetSummary:
    """One set: energies for each atom and force components over all frames; rms by element in eV/Angstrom."""

    file: str
    frames: int
    levels: dict[str, int]
    recipes: dict[str, int]
    energy_mean_eV_per_atom: float
    energy_std_meV_per_atom: float
    energy_range_meV_per_atom: float
    force_rms_eV_per_A: float
    force_rms_by_element_eV_per_A: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A folder of sets: the sets, geometries by part and region, names of those that not every set has."""

    path: str
    sets: tuple[SetSummary, ...]
    frames: int
    in_all_sets: int
    not_in_all_sets: dict[str, list[str]]
    by_part: dict[str, int]
    regions: tuple[Region, ...]
    nearest: tuple[Nearest, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def summarize(path: Path) -> Summary:
    """Look at a folder of sets, or at one file.

    Parameters
    ----------
    path
        Folder with pbe.extxyz, hse06.extxyz ..., or one such file.

    Raises
    ------
    DatasetError
        If they are no labelled sets, or one name stands for two geometries.
    """
    return summary_of(read_dataset(path))


def summary_of(dataset: Dataset, nearest: tuple[Nearest, ...] | None = None) -> Summary:
    """The same for sets that have been read, and for distances between parts that have been measured."""
    frames = dataset.frames()
    geometries = list(frames.values())
    names = {file: {str(atoms.info[FRAME]) for atoms in found} for file, found in dataset.sets.items()}
    everywhere = set.intersection(*names.values())
    parts = {name: _part(atoms) for name, atoms in frames.items()}
    return Summary(
        path=str(dataset.path),
        sets=tuple(_of_set(file, found) for file, found in dataset.sets.items()),
        frames=len(frames),
        in_all_sets=len(everywhere),
        not_in_all_sets={
            file.name: [name for name in frames if name in has and name not in everywhere]
            for file, has in names.items()
        },
        by_part=_by_part(geometries),
        regions=tuple(region for key, as_text in _REGIONS for region in _regions(geometries, key, as_text)),
        nearest=nearest_between_parts(frames, parts) if nearest is None else nearest,
    )


def split_table(summary: Summary) -> str:
    """Geometries by part and region."""
    columns = [part for part in (*PARTS, _NO_PART) if summary.by_part.get(part)]
    rows = [Region(key="all", value="", frames=summary.frames, by_part=summary.by_part), *summary.regions]
    lines = [f"{'':24s} {'frames':>7s}" + "".join(f"{column:>12s}" for column in columns)]
    for row in rows:
        counts = "".join(f"{row.by_part.get(column, 0):12d}" for column in columns)
        lines.append(f"{f'{row.key} {row.value}':24s} {row.frames:7d}{counts}")
    if summary.nearest:
        lines.append("closest frames of two parts, Angstrom rms:")
        lines += [
            f"  {f'{entry.kind} in {entry.part}':22s} {entry.rms_A:7.2f}  {entry.frame} to {entry.other} "
            f"in {entry.other_part}"
            for entry in summary.nearest
        ]
    return "\n".join(lines)


def sets_table(summary: Summary) -> str:
    """Each set in a row or two, and which frames not every set has."""
    elements = list(dict.fromkeys(e for entry in summary.sets for e in entry.force_rms_by_element_eV_per_A))
    lines = [
        f"{'':24s} {'frames':>7s}{'E mean':>12s}{'E std':>8s}{'E range':>8s}  force rms"
        + "".join(f"{element:>6s}" for element in elements),
        f"{'':24s} {'':>7s}{'eV/atom':>12s}{'meV/at.':>8s}{'meV/at.':>8s}  eV/Angstrom",
    ]
    for entry in summary.sets:
        rms = entry.force_rms_by_element_eV_per_A
        lines.append(
            f"{Path(entry.file).name:24s} {entry.frames:7d}{entry.energy_mean_eV_per_atom:12.3f}"
            f"{entry.energy_std_meV_per_atom:8.1f}{entry.energy_range_meV_per_atom:8.1f}  "
            f"{entry.force_rms_eV_per_A:9.3f}"
            + "".join(f"{rms[element]:6.2f}" if element in rms else f"{'-':>6s}" for element in elements)
        )
        for what, counts in (("level", entry.levels), ("recipe", entry.recipes)):
            lines.append(f"  {what}: " + ", ".join(f"{value} ({number})" for value, number in counts.items()))
    if len(summary.sets) > 1:
        lines.append(f"{summary.in_all_sets} of {summary.frames} geometries are in all sets")
        lines += [f"  only in {file}: {', '.join(names)}" for file, names in summary.not_in_all_sets.items() if names]
    return "\n".join(lines)


def _part(atoms: Atoms) -> str:
    return str(atoms.info.get(PART, _NO_PART))


def _by_part(frames: Sequence[Atoms]) -> dict[str, int]:
    return _counts([_part(atoms) for atoms in frames])


def _counts(values: Sequence[str]) -> dict[str, int]:
    return dict(Counter(values))


def _regions(frames: Sequence[Atoms], key: str, as_text: Callable[[Any], str]) -> list[Region]:
    """Ascending, those without the key at the end; none where no frame has it."""
    having = [atoms for atoms in frames if key in atoms.info]
    if not having:
        return []
    texts = [_text(atoms.info[key], as_text) for atoms in having]
    groups = {
        text: [atoms for atoms, of in zip(having, texts, strict=True) if of == text]
        for text in sorted(set(texts), key=_by_number)
    }
    groups["-"] = [atoms for atoms in frames if key not in atoms.info]
    return [
        Region(key=key, value=text, frames=len(members), by_part=_by_part(members))
        for text, members in groups.items()
        if members
    ]


def _text(value: Any, as_text: Callable[[Any], str]) -> str:
    """Keys of other people's frames may be anything: "300 K"."""
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return str(value)


def _by_number(text: str) -> tuple[bool, float, str]:
    """Numbers ascending, then words."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _of_set(file: Path, frames: Sequence[Atoms]) -> SetSummary:
    energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in frames])
    forces = np.concatenate([atoms.calc.results["forces"] for atoms in frames])
    symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in frames])
    return SetSummary(
        file=str(file),
        frames=len(frames),
        levels=_counts([str(atoms.info.get("level", "none")) for atoms in frames]),
        recipes=_counts([str(atoms.info.get("recipe", "none")) for atoms in frames]),
        energy_mean_eV_per_atom=float(energies.mean()),
        energy_std_meV_per_atom=1e3 * float(energies.std()),
        energy_range_meV_per_atom=1e3 * float(np.ptp(energies)),
        force_rms_eV_per_A=_rms(forces),
        force_rms_by_element_eV_per_A={
            element: _rms(forces[symbols == element]) for element in dict.fromkeys(symbols.tolist())
        },
    )


def _rms(values: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean(values**2)))
