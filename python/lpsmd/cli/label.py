"""`lpsmd label`: DFT labels for frames."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from lpsmd.cli._options import output_folder, workers_option


@click.command()
@click.argument("frames", type=click.Path(path_type=Path, dir_okay=False))
@output_folder
@click.option(
    "--recipe", type=click.Path(path_type=Path, dir_okay=False), help="TOML file; default: the one that ships."
)
@click.option(
    "--functional",
    "functionals",
    type=click.Choice(["PBE", "HSE06"]),
    multiple=True,
    help="May be repeated; default: both. HSE06 starts from PBE.",
)
@workers_option("Frames at a time, each on one core; default: one for each core.")
@click.option("--pw", default="pw.x", show_default=True, help="Program of Quantum ESPRESSO, name or path.")
@click.option(
    "--potentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CP2K's file of pseudopotentials; default: POTENTIAL_UZH of an installed CP2K.",
)
@click.option(
    "--timeout-min",
    type=click.FloatRange(min=0.0, min_open=True),
    default=60.0,
    show_default=True,
    help="Minutes for one run of pw.x (each frame has one for each functional); one that takes longer has failed.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Try frames again that failed before, with --functional only those of it."
)
def label(
    frames: Path,
    output: Path,
    recipe: Path | None,
    functionals: tuple[str, ...],
    workers: int | None,
    pw: str,
    potentials: Path | None,
    timeout_min: float,
    retry_failed: bool,
) -> None:
    r"""Label FRAMES (extended XYZ) with energy, forces and gap by PBE and HSE06, through Quantum ESPRESSO.

    \b
    On Debian: apt install quantum-espresso cp2k-data. Then
      lpsmd label frames.extxyz -o labels
      lpsmd label frames.extxyz -o labels --functional PBE -w 8 --recipe mine.toml

    \b
    In the output folder:
      pbe.extxyz, hse06.extxyz   energy (eV), forces (eV/Angstrom), gap; the same key `frame` in both
      labels.json                recipe, hashes, versions, cost, and what failed and why
      frames/ID/                 input, output and records of each frame
      pseudo/                    pseudopotentials, converted from CP2K's

    PBE has a stress with an uncorrected Pulay offset, HSE06 has none, since that of Quantum ESPRESSO 6.7 is wrong.
    Stop with Ctrl-C, or have it killed, and run the same command again: it goes on with the frames that have no label
    yet. Exit code 0 means all frames have their labels; 1, that some failed or are not finished; 2, bad input.
    """
    from rich.console import Console

    from lpsmd.cli.run import log_to, stoppable
    from lpsmd.labels import FUNCTIONALS, label_frames, read_recipe

    log_to(Console(stderr=True))
    with stoppable(output):
        outcome = label_frames(
            frames,
            output,
            recipe=None if recipe is None else read_recipe(recipe),
            functionals=functionals or FUNCTIONALS,
            workers=workers or len(os.sched_getaffinity(0)),
            pw=pw,
            potentials=potentials,
            timeout_min=timeout_min,
            retry_failed=retry_failed,
        )
    click.echo(
        f"{output}: {len(outcome.labelled)} frames labelled, {len(outcome.failed)} failed, "
        f"{len(outcome.unfinished)} not finished"
    )
    for name, failure in outcome.failed.items():
        click.echo(f"  {name} failed: {failure.functional}: {failure.reason}", err=True)
    for name, why in outcome.unfinished.items():
        click.echo(f"  {name} not finished: {why}", err=True)
    if outcome.failed or outcome.unfinished:
        click.echo("what failed is tried again with --retry-failed, what is not finished without it", err=True)
        sys.exit(1)
