"""The parity data: tiny exported networks, and what each trainer's own calculator says of one frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ase import Atoms

PARITY = Path(__file__).parent.parent / "data" / "parity"
ARCHITECTURES = ("nequip", "mace", "deepmd")


def reference(architecture: str) -> tuple[Atoms, dict[str, Any]]:
    """The frame, and the stored values in the units that their keys name."""
    values = json.loads((PARITY / f"{architecture}.json").read_text())
    symbols = [values["type_names"][t] for t in values["types"]]
    return Atoms(symbols, positions=values["positions_A"], cell=values["cell_A"], pbc=True), values
