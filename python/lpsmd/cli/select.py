"""`lpsmd select`: frames worth a label."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from lpsmd.cli._options import output_folder, workers_option


@click.command()
@click.argument("study", metavar="STUDY.toml")
@output_folder
@click.option("-n", "--n", "count", type=click.IntRange(min=1), default=40, show_default=True, help="Frames to pick.")
@click.option(
    "--inversion",
    "inversions",
    type=float,
    multiple=True,
    show_default="0 and 0.5",
    help="Of the anions, may be repeated: 0 ordered, 0.5 fully disordered. Not for a structure file.",
)
@click.option(
    "--volume",
    "volume_strains",
    type=float,
    multiple=True,
    default=(-0.03, 0.0, 0.03),
    show_default=True,
    help="Relative to that of the study's cell, may be repeated: -0.03 is 3 % smaller.",
)
@click.option(
    "--drive",
    "drivers",
    metavar="MODEL",
    multiple=True,
    help="Model that moves the atoms, by its label, may be repeated; default: all. All vote in any case.",
)
@click.option(
    "--uniform",
    is_flag=True,
    help="For a test: draw whole frames evenly, ask no committee, write part=test into each.",
)
@click.option(
    "--lower",
    type=float,
    default=0.2,
    show_default=True,
    help="eV/Angstrom: below it the models agree, the frame is known.",
)
@click.option(
    "--upper",
    type=float,
    default=1.0,
    show_default=True,
    help="eV/Angstrom: above it they know nothing, the frame is likely unphysical.",
)
@click.option(
    "--known",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Frames that have labels; what is picked keeps away from them, has no atoms much closer than they, and shares "
    "no start with the other part. May be repeated.",
)
@click.option("--seed", type=click.IntRange(min=1), help="For other sites and velocities; default: the study's seeds.")
@workers_option("Replicas at a time; default: the study's, else one for each core or GPU.")
@click.option("--dry-run", is_flag=True, help="Run nothing but a short probe; print what would run, and how long.")
@click.pass_context
def select(
    context: click.Context,
    study: str,
    output: Path,
    count: int,
    inversions: tuple[float, ...],
    volume_strains: tuple[float, ...],
    drivers: tuple[str, ...],
    uniform: bool,
    lower: float,
    upper: float,
    known: tuple[Path, ...],
    seed: int | None,
    workers: int | None,
    dry_run: bool,
) -> None:
    r"""Run short dynamics with the models that there are, and pick the frames from which they would learn.

    STUDY.toml is a study as `lpsmd run` takes it: its temperatures and lengths are those of the dynamics, which runs in
    a cell of each inversion and volume (a structure file: scaled to each volume). Then every frame is judged:

    \b
    1. Atoms on one another, a PS4 unit with a P-S bond beyond 2.8 Angstrom, or two elements closer than 0.8 times their
       closest in --known: refused, and counted.
    2. Committee deviation: largest over the atoms of the standard deviation of the force over the models of a
       functional (the larger of the functionals). Below --lower it is known, above --upper likely unphysical (trust
       levels of DP-GEN, doi:10.1016/j.cpc.2020.107206).
    3. Of those within, frames as different as possible from one another and from --known: in turn of each cell and
       temperature, the farthest point of the SOAP spectra averaged over each element. Needs DScribe:
       pip install 'lpsmd[select]'

    \b
      lpsmd init round-1.toml --protocol select
      lpsmd select round-1.toml -o round-1 --dry-run
      lpsmd select round-1.toml -o round-1 -n 40 --known data/pbe.extxyz
      lpsmd label round-1/frames.extxyz -o labels
      lpsmd dataset import labels/pbe.extxyz -o data/pbe.extxyz --append
    Then train again on all labels, and repeat with the new models and another --seed. When hardly any frame is above
    --lower, the models know this dynamics; what they have in common they cannot tell: look at held-out errors as well.

    What is picked so is hard; a test of how good a model is on average needs frames as they come. --uniform draws them
    in turn of cell and temperature, model and trajectory, at random times; refused are those of 1. alone. Their
    dynamics starts from sites that no seed gives without --uniform.

    \b
      lpsmd select round-1.toml -o test-1 -n 20 --uniform --known data/pbe.extxyz

    \b
    In the output folder:
      frames.extxyz    what was picked, in its order, with trajectory, start (of its dynamics), temperature_K,
                       inversion, volume_strain and committee_deviation (eV/Angstrom), or part, of each
      seen.csv         every frame with its deviation and verdict; seen.png shows the deviations by temperature
      selection.json   study, models, bounds, hashes and what was seen
      dynamics/        the studies, as `lpsmd run` leaves them

    Stop with Ctrl-C, or have it killed, and run the same command again: it goes on. Another --n, --lower, --upper or
    --known in the same folder runs no dynamics and asks no model again.
    """
    from rich.console import Console

    from lpsmd.cli.run import log_to, stoppable
    from lpsmd.selection.committee import Bounds
    from lpsmd.selection.outcome import table
    from lpsmd.selection.sampling import SelectionError
    from lpsmd.selection.selecting import Request, estimate, select_frames, with_seed
    from lpsmd.study_file import load_study

    for name in ("lower", "upper") if uniform else ():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise SelectionError(
                f"--{name}: found with --uniform, needed without: an even draw asks no committee; leave out one of them"
            )
    messages = Console(stderr=True)
    log_to(messages)
    parsed = load_study(study)
    if seed is not None:
        parsed = with_seed(parsed, seed)
    request = Request(
        n=count,
        inversions=inversions,
        volume_strains=volume_strains,
        drivers=drivers,
        bounds=None if uniform else Bounds(lower_eV_per_A=lower, upper_eV_per_A=upper),
        known=known,
    )
    if dry_run:
        click.echo(estimate(parsed, output, request, workers=workers))
        return
    with stoppable(output):
        selection = select_frames(parsed, output, request, workers=workers, console=messages)
    click.echo(table(selection))
    click.echo(
        f"{output / 'frames.extxyz'}: {len(selection.picked)} of {len(selection.seen)} frames; label them: "
        f"lpsmd label {output / 'frames.extxyz'} -o labels"
    )
