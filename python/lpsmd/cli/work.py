"""`lpsmd work`: some replicas of a study, without a driver."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from lpsmd.cli._options import workers_option


def _share(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", value)
    if found is None or not int(found[1]) < int(found[2]):
        raise click.BadParameter(f"found {value!r}, needed NUMBER/COUNT with the number from 0, as 0/8")
    return int(found[1]), int(found[2])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--share",
    callback=_share,
    default="0/1",
    metavar="NUMBER/COUNT",
    help="Every COUNT-th replica, from NUMBER on; default: all.",
)
@workers_option("Replicas at a time; default: the study's.")
def work(folder: Path, share: tuple[int, int], workers: int | None) -> None:
    r"""Run a share of the replicas of the study in FOLDER; what the script of `lpsmd export-slurm` calls.

    Replicas are locked, so that several of these, on one machine or many, do not disturb each other. D is not looked
    at: `lpsmd run FOLDER --analyse-only` does that in the end.

    \b
      lpsmd work results                  all that is left, on this machine
      lpsmd work results --share 0/4      every fourth, as job 0 of 4

    Exit code 0 means that all of them have ended; 75, that the batch job (SLURM_JOB_END_TIME) has no time for
    another chunk; 130, that it was stopped; 2, bad input, or what a person must mend.
    """
    from rich.console import Console

    from lpsmd.cli.run import log_to, stoppable
    from lpsmd.ensemble.driver import run_share
    from lpsmd.ensemble.slurm_script import TRY_AGAIN
    from lpsmd.progress import watching

    log_to(Console(stderr=True))
    with stoppable(folder), watching() as watcher:
        paused = run_share(folder, share=share, workers=workers, watcher=watcher)
    if paused:
        go_on = "1 replica goes on" if paused == 1 else f"{paused} replicas go on"
        click.echo(f"no time is left for another chunk: {go_on} in the next job", err=True)
        sys.exit(TRY_AGAIN)
