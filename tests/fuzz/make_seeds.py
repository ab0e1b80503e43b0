"""Seeds for fuzzing the dump reader, one of each format, written by LAMMPS.

python tests/fuzz/make_seeds.py tests/fuzz/corpus
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.simulation import run_lmp

COLUMNS = {
    "xu": "id element xu yu zu",
    "images": "id type element x y z ix iy iz",
    "scaled": "id type xs ys zs ix iy iz vx",
    "xsu": "zsu ysu xsu element id",
    "wrapped": "id element x y z",
}
# The first byte of an input: see `choose` in cpp/fuzz/fuzz_dump.cpp.
UNWRAP, DROP, ELEMENTS_OF_TYPES, SPECIES, TYPES, IDS, TWO_CHUNKS = (1 << bit for bit in range(7))
OPTIONS = {
    "xu": [SPECIES, DROP],
    "images": [0, TYPES, TWO_CHUNKS],
    "scaled": [ELEMENTS_OF_TYPES],
    "xsu": [IDS],
    "wrapped": [UNWRAP],
}
CELLS = {"orthogonal": "block 0 8 0 7 0 9", "triclinic": "prism 0 8 0 7 0 9 1 0.5 -0.7"}


def commands(cell: str) -> list[str]:
    """A hot gas of five atoms, whose cell breathes in the second half."""
    return [
        "units metal",
        "atom_style atomic",
        f"region b {CELLS[cell]}",
        "create_box 2 b",
        "create_atoms 1 random 3 12 b",
        "create_atoms 2 random 2 13 b",
        "mass * 7",
        "velocity all create 3e4 1",
        "pair_style zero 2.0",
        "pair_coeff * *",
        "fix 1 all nve",
        *(
            line
            for name, columns in COLUMNS.items()
            for line in (
                f"dump {name} all custom 4 {name}.dump {columns}",
                f'dump_modify {name} element Li P sort id time yes units yes format float "%.8f"',
                f"dump {name}b all custom 4 {name}.bin {columns}",
            )
        ),
        "run 8",
        "fix 2 all deform 1 x scale 1.1 y scale 1.05",
        "run 8",
    ]


def flip_seeds(folder: Path) -> None:
    """Two frames of one lattice in two sets of vectors, by hand: as time goes on, and at a seam."""

    def frame(step: int, bounds: str, columns: str, rows: list[str]) -> str:
        box = f"ITEM: BOX BOUNDS xy xz yz pp pp pp\n{bounds}\n0 10 0\n0 10 0\n"
        head = f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\n{box}ITEM: ATOMS {columns}\n"
        return head + "".join(row + "\n" for row in rows)

    unwrapped = ("id element xu yu zu", ["1 Li 12 13 4", "2 S 1 2 3"])
    images = ("id element x y z ix iy iz", ["1 Li 7 3 4 1 1 0", "2 S 1 2 3 0 -2 1"])
    wrapped = ("id element x y z", ["1 Li 7 3 4", "2 S 1 2 3"])
    seeds = [(0, unwrapped), (0, images), (UNWRAP, wrapped), (TWO_CHUNKS, unwrapped)]
    for n, (option, (columns, rows)) in enumerate(seeds):
        second = 0 if option == TWO_CHUNKS else 1
        text = frame(0, "0.0 15 5", columns, rows) + frame(second, "-5 10 -5", columns, rows)
        (folder / f"flip-{n}").write_bytes(bytes([option, 0x1F, 2]) + text.encode())


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    flip_seeds(folder)
    for cell in CELLS:
        with tempfile.TemporaryDirectory() as scratch:
            done = run_lmp(commands(cell), Path(scratch))
            if done.returncode != 0:
                sys.exit(done.stdout)
            for name, options in OPTIONS.items():
                for suffix in ("dump", "bin"):
                    data = (Path(scratch) / f"{name}.{suffix}").read_bytes()
                    for n, option in enumerate(options):
                        # binary dumps name no elements; small portions; blocks of two frames
                        first = option | (ELEMENTS_OF_TYPES if suffix == "bin" else 0)
                        head = bytes([first, 0x1F | 0x60 * (n % 2), 2 * (n % 2)])
                        (folder / f"{cell}-{name}-{n}-{suffix}").write_bytes(head + data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
