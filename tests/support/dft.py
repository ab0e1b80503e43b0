"""Frames of the project's data set. It grows at its end: the first ones stay what they are, and tests count on them."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read

DFT_FOLDER = Path(__file__).parents[2] / "data" / "li6ps5cl_dft"
FIRST = {"PBE": 61, "HSE06": 55}


def first_frames(functional: str = "PBE") -> list[Atoms]:
    """The frames with which the set began."""
    found = read(DFT_FOLDER / f"{functional.lower()}.extxyz", f":{FIRST[functional]}")
    assert isinstance(found, list)
    return found
