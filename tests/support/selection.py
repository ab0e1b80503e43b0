"""A committee of two models under which PS4 units hold, and a study that moves them for a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lpsmd.structure import LI6PS5CL_ELEMENTS
from support.models import lj_model, with_passport

STUDY = """
[study]
name = "tiny"
seed = 3

[structure]
generator = "li6ps5cl"
a_A = 10.0

[[models]]
path = "./one.pt"

[[models]]
path = "./two.pt"

[dynamics]
temperatures_K = [300, 600]
equilibration_ps = 0.02
production_ps = 0.2
chunk_ps = 0.2
dump_interval_fs = 20

[ensemble]
replicas = 2
"""

#: Strengths of the P-S bond in eV; all other pairs are alike and weak.
ONE_EV, TWO_EV = 1.0, 1.2


def bonded_model(path: Path, bond_eV: float, *, functional: str = "PBE") -> Path:
    """Lennard-Jones with its minimum for P-S at 2.05 Angstrom; the rest is soft."""
    epsilon, sigma = np.full((4, 4), 0.01), np.full((4, 4), 2.0)
    p, s = LI6PS5CL_ELEMENTS.index("P"), LI6PS5CL_ELEMENTS.index("S")
    for i, j in ((p, s), (s, p)):
        epsilon[i, j], sigma[i, j] = bond_eV, 2.05 / 2.0 ** (1.0 / 6.0)
    lj_model(path, LI6PS5CL_ELEMENTS, epsilon_eV=epsilon, sigma_A=sigma)
    return with_passport(path, functional=functional)


def study_folder(folder: Path, text: str = STUDY) -> Path:
    """Write the study and its models; returns the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    bonded_model(folder / "one.pt", ONE_EV)
    bonded_model(folder / "two.pt", TWO_EV)
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return file
