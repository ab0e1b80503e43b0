"""LiH in a box, for labels that take seconds; pw.x where it is installed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms

from lpsmd.labels import Outcome, label_frames, read_recipe

DATA = Path(__file__).resolve().parent.parent / "data" / "espresso"
RECIPE = DATA / "lih.toml"
POTENTIALS = DATA / "POTENTIAL_UZH"

#: Step of central differences, Angstrom, in one direction of all coordinates.
STEP_A = 0.01

needs_pw = pytest.mark.skipif(
    shutil.which("pw.x") is None, reason="THIS TEST NEEDS pw.x: apt install quantum-espresso (Debian)"
)


def lih() -> Atoms:
    return Atoms(
        "LiH",
        positions=[[0.1, 0.2, 0.3], [1.2, 1.3, 0.9]],
        cell=[[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [0.0, 0.2, 5.4]],
        pbc=True,
    )


def direction() -> np.ndarray:
    """A unit vector in the space of all coordinates, [2, 3]."""
    drawn = np.random.default_rng(1).normal(size=(2, 3))
    return drawn / np.linalg.norm(drawn)


def displaced(step_A: float, name: str) -> Atoms:
    atoms = lih()
    atoms.positions += step_A * direction()
    # What an earlier labelling, by a model, may have left: it must not pass for DFT.
    atoms.info.update(frame=name, kind="test", trajectory="t1", temperature_K=300.0, REF_energy=3.0)
    return atoms


def frames_file(folder: Path) -> Path:
    """Three frames: the centre, and a step to either side."""
    path = folder / "frames.extxyz"
    ase.io.write(path, [displaced(0.0, "centre"), displaced(STEP_A, "plus"), displaced(-STEP_A, "minus")])
    return path


def label_command(frames: Path, output: Path, *options: str) -> list[str]:
    given = ["--recipe", str(RECIPE), "--potentials", str(POTENTIALS)]
    return [sys.executable, "-m", "lpsmd", "label", str(frames), "-o", str(output), *given, *options]


def run_label(frames: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(label_command(frames, output, *options), capture_output=True, text=True)


def label(frames: Path, output: Path, *, recipe: Path = RECIPE, **options: Any) -> Outcome:
    """As the command does, without a process of its own."""
    return label_frames(frames, output, recipe=read_recipe(recipe), **{"potentials": POTENTIALS, **options})


def commands_in(folder: Path) -> list[str]:
    """Names of the programs that run in a folder or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is a zombie
            if (process / "cwd").readlink().is_relative_to(folder.resolve()):
                found.append((process / "comm").read_text().strip())
    return found
