"""`lpsmd dataset import`: labelled frames from anywhere."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def dataset() -> None:
    """Check and join labelled frames."""


@dataset.command(name="import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Set to write.")
@click.option(
    "--units",
    type=click.Choice(["eV/Angstrom", "Hartree/Bohr", "Ry/Bohr", "kcal/mol/Angstrom"]),
    help="Of energies and forces in the files; without it eV/Angstrom, and what looks otherwise is refused.",
)
@click.option("--net-force", type=float, help="Largest net force for each atom, eV/Angstrom; default 0.001.")
@click.option("--closest", type=float, help="Least distance in sums of covalent radii; default 0.5.")
@click.option("--energy-spread", type=float, help="Largest distance from the median energy, eV/atom; default 1.")
@click.option("--skip-bad", is_flag=True, help="Leave bad frames out and name them; without it nothing is written.")
def import_(
    files: tuple[Path, ...],
    output: Path,
    units: str | None,
    net_force: float | None,
    closest: float | None,
    energy_spread: float | None,
    skip_bad: bool,
) -> None:
    r"""Check labelled frames (VASP, CP2K, extended XYZ: what ASE reads) and write one set in eV and Angstrom.

    Refused are frames without energy or forces, with numbers that are not finite, with atoms on one another, with
    forces that do not sum to zero, with a geometry that is there twice, with an energy of another zero than that of
    other frames of the same composition, and files whose units look wrong.

    \b
      lpsmd dataset import run1/OUTCAR run2.extxyz -o set.extxyz
      lpsmd dataset import cp2k.extxyz --units Hartree/Bohr -o set.extxyz
    """
    from lpsmd.dataset.checks import Tolerances
    from lpsmd.dataset.importing import import_dataset

    given = {
        "net_force_eV_per_A": net_force,
        "closest": closest,
        "energy_spread_eV_per_atom": energy_spread,
    }
    tolerances = Tolerances(**{name: value for name, value in given.items() if value is not None})
    done = import_dataset(files, output, units=units, tolerances=tolerances, skip_bad=skip_bad)
    for entry in done.refused:
        click.echo(f"left out: {entry}", err=True)
    click.echo(f"{output}: {done.written} frames, {done.left_out} left out")
