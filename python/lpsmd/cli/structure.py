"""`lpsmd structure`: write starting structures."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def structure() -> None:
    """Write starting structures."""


@structure.command()
@click.option("--a", "a_A", type=float, default=9.86, show_default=True, help="Lattice parameter in Angstrom.")
@click.option(
    "--supercell",
    type=int,
    nargs=3,
    default=(1, 1, 1),
    show_default=True,
    help="Conventional cells along x, y, z.",
)
@click.option(
    "--inversion",
    type=float,
    default=0.0,
    show_default=True,
    help="Fraction of Cl sites that hold S, and vice versa: 0 ordered, 0.5 fully disordered.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides which Li and anion sites are taken.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .lmp or .data for LAMMPS, else any extension that ASE writes (.extxyz, .cif).",
)
def li6ps5cl(a_A: float, supercell: tuple[int, int, int], inversion: float, seed: int, output: Path) -> None:
    r"""Write argyrodite Li6PS5Cl (F-43m, 52 atoms a conventional cell).

    Li takes one site of each face-sharing 48h pair, drawn from the seed without close contacts. Atom types
    are Li P S Cl.

    \b
    Example:
      lpsmd structure li6ps5cl --a 9.86 --supercell 2 2 2 --inversion 0.5 --seed 1 -o data.lmp
    """
    from lpsmd.structure import li6ps5cl as build
    from lpsmd.structure import write_structure

    cell = build(a_A=a_A, supercell=supercell, inversion=inversion, seed=seed)
    write_structure(cell, output)
    click.echo(f"{output}: {len(cell.types)} atoms, {cell.title}")
