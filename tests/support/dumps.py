"""Dumps as LAMMPS writes them, from arrays."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

COLUMNS = ("id", "element", "xu", "yu", "zu")


def frame_text(
    step: int,
    rows: Sequence[dict[str, object]],
    *,
    columns: Sequence[str] = COLUMNS,
    bounds: Sequence[Sequence[float]] = ((0.0, 10.0),) * 3,
    header: str = "pp pp pp",
    preamble: str = "",
    digits: int = 8,
) -> str:
    """One frame; `rows` hold a value for each column."""
    lines = [f"ITEM: TIMESTEP\n{step}", f"ITEM: NUMBER OF ATOMS\n{len(rows)}", f"ITEM: BOX BOUNDS {header}"]
    lines += [" ".join(f"{value:.16e}" for value in axis) for axis in bounds]
    lines.append("ITEM: ATOMS " + " ".join(columns))
    for row in rows:
        values = (row.get(column, 0) for column in columns)
        lines.append(" ".join(f"{v:.{digits}f}" if isinstance(v, float) else str(v) for v in values))
    return preamble + "\n".join(lines) + "\n"


def rows_of(positions: np.ndarray, elements: Sequence[str]) -> list[dict[str, object]]:
    """Rows for frame_text from [N, 3] positions, ids from 1."""
    return [
        {"id": i + 1, "element": elements[i], "xu": float(x), "yu": float(y), "zu": float(z)}
        for i, (x, y, z) in enumerate(positions)
    ]


def write_dump(
    path: Path,
    positions: np.ndarray,
    elements: Sequence[str],
    *,
    first_step: int = 0,
    interval: int = 10,
    rng: np.random.Generator | None = None,
    columns: Sequence[str] = COLUMNS,
    bounds: Sequence[Sequence[float]] = ((0.0, 10.0),) * 3,
) -> Path:
    """A dump of [F, N, 3] positions; lines of each frame shuffled where `rng` is given."""
    parts = []
    for index, frame in enumerate(positions):
        rows = rows_of(frame, elements)
        if rng is not None:
            rows = [rows[i] for i in rng.permutation(len(rows))]
        parts.append(frame_text(first_step + interval * index, rows, columns=columns, bounds=bounds))
    path.write_text("".join(parts), encoding="utf-8")
    return path


def binary_frame(
    step: int,
    rows: np.ndarray,
    columns: str,
    *,
    bounds: Sequence[float] = (0.0, 10.0) * 3,
    units: str = "metal",
    n_blocks: int = 1,
) -> bytes:
    """One frame of an orthogonal binary dump (revision 2); `rows` [N, columns] in blocks as of several ranks."""
    header = struct.pack("<q10siiqq", -10, b"DUMPCUSTOM", 1, 2, step, len(rows))
    header += struct.pack("<i6i6di", 0, *(0,) * 6, *bounds, rows.shape[1])
    header += struct.pack("<i", len(units)) + units.encode() + b"\0"
    header += struct.pack("<i", len(columns)) + columns.encode() + struct.pack("<i", n_blocks)
    for block in np.array_split(rows, n_blocks):
        header += struct.pack("<i", block.size) + np.ascontiguousarray(block, dtype="<f8").tobytes()
    return header
