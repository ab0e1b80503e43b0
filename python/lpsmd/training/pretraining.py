"""The set of the pre-training stage: frames of the teacher, brought onto the scale and the zero of the labels.

Many universal potentials are too soft (their forces are too small by a constant factor; B. Deng et al., npj Comput.
Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6). Multiplied by one factor, fitted to the DFT forces of the training
frames, the teacher's surface is still the gradient of an energy and lies nearer to the DFT: for SevenNet-l3i5 and PBE
the factor is 1.01 and gains little, for CHGNet it was 1.29.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from lpsmd.training.data import (
    ENERGY_KEY,
    FORCES_KEY,
    TrainingError,
    energies_eV,
    frames_sha256,
    shared_out_eV,
    write_extxyz,
)
from lpsmd.training.environments import in_turn, prepare, run_logged

#: What the teacher's job list makes frames of.
TEACHER_ELEMENTS = ("Li", "P", "S", "Cl")
PROGRAM = Path(__file__).parent / "teacher.py"
JOBS = Path(__file__).parent / "inputs" / "teacher_jobs.json"
TEACHER = "{level}, its forces and energies multiplied by force_scale, on SevenNet-0's dynamics and rattled cells"
VALIDATION_FRAMES = 24
VALIDATION_SEED = 7
POSITION_TOLERANCE_A = 1e-4  # the same geometry, written and read once more


@dataclass(frozen=True, kw_only=True)
class TeacherFit:
    """How the teacher's labels are changed, and how far from the DFT they stay on its training frames.

    Energies are shifted by type, so that cells of any size come to the zero of the DFT, of the compositions that follow
    from the labelled ones.
    """

    force_scale: float
    energy_shifts_eV: Mapping[str, float]
    force_rms_before_eV_per_A: float
    force_rms_after_eV_per_A: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherSet:
    """Training and validation frames of the pre-training, who labelled them, and how their labels were changed."""

    teacher: str
    train: Sequence[Atoms]
    validation: Sequence[Atoms]
    fit: TeacherFit


def teacher_set(
    folder: Path, dft: Sequence[Atoms], *, environment: Path, make: bool, says: Callable[[str], None]
) -> TeacherSet:
    """Frames that SevenNet makes and labels, once for a folder, on the scale of the labels of `dft`.

    Parameters
    ----------
    folder
        Keeps the frames, and the teacher's labels of each set of geometries that was asked for.
    dft
        Labelled training frames.
    environment, make
        The environment with sevenn, needed where there is something to do; installed there if `make`.
    says
        Called with what is done, where there is something to do.

    Raises
    ------
    TrainingError
        If the teacher fails, or its labels are of two versions.
    """
    made = fingerprint()
    frames = folder / f"frames-{made}.extxyz"
    geometries = folder / f"dft-{frames_sha256(dft)[:8]}.extxyz"
    relabelled = geometries.with_name(f"{geometries.stem}-{made}.extxyz")
    with in_turn(folder.with_name(f"{folder.name}.lock"), str(folder)) as lock:
        folder.mkdir(parents=True, exist_ok=True)
        relabelling = geometries.with_suffix(".json")
        if not relabelled.is_file():
            write_extxyz(geometries, dft)
            relabelling.write_text(json.dumps([{"name": "dft", "make": "relabel", "file": str(geometries)}]))
        for jobs, path, minutes in ((JOBS, frames, 25), (relabelling, relabelled, len(dft) / 80)):
            if not path.is_file():
                python = prepare("sevennet", environment, make=make)
                says(f"teacher: SevenNet labels {path.name}, about {minutes:.0f} min")
                # -P: a program by its path, with nothing of this folder on its module path.
                run_logged(
                    [python, "-P", PROGRAM, "--jobs", jobs, "-o", path],
                    log_file=path.with_suffix(".log"),
                    folder=folder,
                    threads=1,
                    variables=lock.environment,
                )
    members, taught = list(iread(frames)), list(iread(relabelled))
    # Of the version that made them, whatever the environment has by now.
    levels = {atoms.info["level"] for atoms in (*members, *taught)}
    if len(levels) > 1:
        raise TrainingError(
            f"{folder}: found labels of {' and '.join(sorted(levels))}, needed those of one teacher; delete the folder "
            f"and start again"
        )
    fit = fit_teacher(taught, dft)
    train, validation = split_pretraining(rescale(members, fit))
    return TeacherSet(teacher=TEACHER.format(level=levels.pop()), train=train, validation=validation, fit=fit)


def fingerprint() -> str:
    """Of program and jobs: others make other frames, which must not be taken for these."""
    return hashlib.sha256(PROGRAM.read_bytes() + JOBS.read_bytes()).hexdigest()[:8]


def fit_teacher(teacher: Sequence[Atoms], dft: Sequence[Atoms]) -> TeacherFit:
    r"""Fit scale and shifts of the teacher to the DFT on the same geometries.

    .. math:: s = \frac{\sum F_\mathrm{DFT} \cdot F_\mathrm{teacher}}{\sum F_\mathrm{teacher}^2}, \qquad
              \sum_\mathrm{atoms} E_\mathrm{type} \approx E_\mathrm{DFT} - s E_\mathrm{teacher}

    the energies of the types as in `lpsmd.training.data.shared_out_eV`.

    Raises
    ------
    TrainingError
        If the two lists are not the same geometries in the same order.
    """
    if len(teacher) != len(dft):
        raise TrainingError(
            f"the teacher labelled {len(teacher)} DFT geometries, needed {len(dft)}; delete the teacher's "
            f"folder in the work directory and start again"
        )
    for label, reference in zip(teacher, dft, strict=True):
        if np.abs(label.positions - reference.positions).max() > POSITION_TOLERANCE_A:
            raise TrainingError(
                f"the teacher's geometry of {reference.info['frame']} differs from the DFT's; delete the "
                f"teacher's folder in the work directory and start again"
            )
    found = np.concatenate([atoms.arrays[FORCES_KEY] for atoms in teacher])
    wanted = np.concatenate([atoms.arrays[FORCES_KEY] for atoms in dft])
    scale = float((wanted * found).sum() / (found * found).sum())
    return TeacherFit(
        force_scale=scale,
        energy_shifts_eV=shared_out_eV(energies_eV(dft) - scale * energies_eV(teacher), dft, TEACHER_ELEMENTS),
        force_rms_before_eV_per_A=float(np.sqrt(np.mean((wanted - found) ** 2))),
        force_rms_after_eV_per_A=float(np.sqrt(np.mean((wanted - scale * found) ** 2))),
    )


def rescale(frames: Sequence[Atoms], fit: TeacherFit) -> list[Atoms]:
    """Copies of the teacher's frames with energies and forces on the DFT's scale."""
    copies = []
    for atoms in frames:
        copy = atoms.copy()
        shift_eV = sum(fit.energy_shifts_eV[symbol] for symbol in atoms.symbols)
        copy.info[ENERGY_KEY] = fit.force_scale * atoms.info[ENERGY_KEY] + shift_eV
        copy.arrays[FORCES_KEY] = fit.force_scale * atoms.arrays[FORCES_KEY]
        copies.append(copy)
    return copies


def split_pretraining(frames: Sequence[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
    """Training and validation frames of the pre-training, drawn by a fixed seed."""
    order = np.random.default_rng(VALIDATION_SEED).permutation(len(frames))
    chosen = set(order[:VALIDATION_FRAMES].tolist())
    train = [atoms for n, atoms in enumerate(frames) if n not in chosen]
    return train, [atoms for n, atoms in enumerate(frames) if n in chosen]
