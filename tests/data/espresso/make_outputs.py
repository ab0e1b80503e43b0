"""Make the outputs of pw.x in this folder again, with version 6.7: LiH in a box, seconds."""

from __future__ import annotations

import gzip
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from lpsmd.labels.pseudopotentials import pseudopotential_files
from lpsmd.labels.pw import XML, geometry_cards, pw_input
from lpsmd.labels.recipe import PbeSection, Recipe, read_recipe

HERE = Path(__file__).resolve().parent
SYMBOLS = ["Li", "H"]
POSITIONS = np.array([[0.1, 0.2, 0.3], [1.2, 1.3, 0.9]])
CELL = np.array([[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [0.0, 0.2, 5.4]])


def main() -> None:
    recipe = read_recipe(HERE / "lih.toml")
    short = recipe.model_copy(update={"scf": recipe.scf.model_copy(update={"electron_maxstep": 3})})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in pseudopotential_files(recipe.pseudopotentials, data_file=HERE / "POTENTIAL_UZH").items():
            (folder / file).write_text(text)
        keep(folder, "unconverged", run(folder, "PBE", short))
        keep(folder, "overlap", run(folder, "PBE", recipe, positions=POSITIONS[[0, 0]]))
        keep(folder, "pbe", run(folder, "PBE", recipe), xml=True)
        keep(folder, "hse06", run(folder, "HSE06", recipe), xml=True)
        low = recipe.model_copy(update={"HSE06": recipe.HSE06.model_copy(update={"ecutfock_Ry": 10.0})})
        keep(folder, "refused", run(folder, "HSE06", low))
        # An outer loop that ends too soon, though each inner one has converged: found by trying.
        loose = recipe.model_copy(
            update={
                "scf": recipe.scf.model_copy(update={"electron_maxstep": 4}),
                "HSE06": recipe.HSE06.model_copy(update={"conv_thr_Ry": 1e-8}),
            }
        )
        box = 6.0 * np.eye(3)
        run(folder, "PBE", recipe.model_copy(update={"PBE": PbeSection(conv_thr_Ry=1e-8, stress=False)}), cell=box)
        keep(folder, "exchange_unconverged", run(folder, "HSE06", loose, cell=box), xml=True)


def run(
    folder: Path, functional: str, recipe: Recipe, *, positions: np.ndarray = POSITIONS, cell: np.ndarray = CELL
) -> str:
    geometry = geometry_cards(SYMBOLS, positions, cell)
    text = pw_input(functional, recipe, symbols=SYMBOLS, geometry=geometry, pseudopotentials=".")
    (folder / "pw.in").write_text(text)
    done = subprocess.run(["pw.x", "-in", "pw.in"], cwd=folder, capture_output=True, text=True)
    print(functional, done.returncode)
    return done.stdout


def keep(folder: Path, name: str, said: str, *, xml: bool = False) -> None:
    (HERE / f"{name}.out").write_text(said)
    if xml:
        with gzip.GzipFile(HERE / f"{name}.xml.gz", "wb", mtime=0) as stream:
            stream.write((folder / XML).read_bytes())


if __name__ == "__main__":
    main()
