"""Small studies that run in seconds: the 52-atom cell with a soft Lennard-Jones model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.models import lj_model, with_passport

STUDY = """
[study]
name = "tiny"
seed = 3

[structure]
generator = "li6ps5cl"
a_A = 10.0

[[models]]
path = "./soft_pbe.pt"

[dynamics]
temperature_K = 600
equilibration_ps = 0.1
production_ps = 0.4
chunk_ps = 0.2

[ensemble]
stop_on_broken_framework = false
replicas = 2
"""


def soft_model(
    path: Path, *, functional: str = "PBE", training: Mapping[str, Any] | None = None, epsilon_eV: float = 0.01
) -> Path:
    """A model under which the cell melts quietly: no charges, no bonds, no explosion."""
    lj_model(path, ["Li", "P", "S", "Cl"], epsilon_eV=epsilon_eV, sigma_A=2.0)
    return with_passport(path, functional=functional, training=training or {})


def study_file(folder: Path, text: str = STUDY) -> Path:
    """Write a study and the model that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    soft_model(folder / "soft_pbe.pt")
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path
