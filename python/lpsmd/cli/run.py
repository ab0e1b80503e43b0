"""`lpsmd run`: a study from its file to its numbers."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from lpsmd.cli._options import workers_option

if TYPE_CHECKING:
    from rich.console import Console

    from lpsmd.study import Study


@click.command()
@click.argument("study", metavar="STUDY.toml")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for everything the study makes; default: NAME-HASH, so a changed study gets its own.",
)
@workers_option("Replicas at a time (on each node); default: the study's, else one for each core or GPU.")
@click.option("--analyse-only", is_flag=True, help="Run nothing; analyse the replicas that are complete.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run nothing but a short probe of each model; print what would run, how long, how much disk.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json, or what --dry-run found, as JSON.")
def run(study: str, output: Path | None, workers: int | None, analyse_only: bool, dry_run: bool, as_json: bool) -> None:
    r"""Run a study and print D with its error and a verdict.

    STUDY.toml names a structure, models, a temperature and lengths; the word demo stands for the study that
    ships with lpsmd, and the folder of a study for that study, which goes on there (a folder of the name demo is
    ./demo). Each replica of each model
    runs in LAMMPS, in a folder of its own and with a seed of its own. Then the mean squared displacements give D
    by the Einstein relation, with a 95 % interval over the replicas.

    \b
      lpsmd run demo                    six shipped models, minutes
      lpsmd run demo --analyse-only     the same numbers again, from what was run
      lpsmd run my-study.toml -w 8      eight replicas at a time
      lpsmd run my-study.toml --dry-run what it would take

    \b
    A small study file:
      [study]
      name = "mine"
      [structure]
      generator = "li6ps5cl"            # or: file = "cell.data"
      a_A = 9.86
      supercell = [2, 2, 2]
      inversion = 0.5
      [[models]]
      path = "./my-model.pt"            # relative to this file; a bare name is a shipped model
      [dynamics]
      temperature_K = 600.0
      equilibration_ps = 5.0
      production_ps = 70.0
      [ensemble]
      replicas = 16

    \b
    In the output folder:
      results.json   D, interval, fit window and verdict of each model, seeds, versions, hashes
      msd.csv        mean squared displacements, per model and lag
      msd.png        the same as a plot
      diffusion_MODEL.png  MSD, local exponent, D against fit window, spread of replicas
      arrhenius_MODEL.png  D over 1/T with its error band, where the study has several temperatures
      MODEL-TEMPERATURE/replica-NNN-HASH/   input, log, trajectory and state of each chunk of each replica
      study.json, progress.json  the study as it was resolved, with versions and hashes; how it stands

    Stop with Ctrl-C, or have it killed, and run the same command again: it goes on after the last whole chunk of each
    replica, and gives the same trajectories as if it had not been stopped. `lpsmd status FOLDER` tells how it stands.
    Exit code 0 means every model has its D; 1, that too few replicas of some model survived; 130, that it was
    stopped; 2, bad input, or what a person must mend.
    """
    from rich.console import Console

    from lpsmd.ensemble import read_ensemble, run_ensemble
    from lpsmd.progress import watching
    from lpsmd.report import analyse_study, print_report, results, write_results
    from lpsmd.study_file import load_study, study_warnings

    if dry_run and analyse_only:
        raise click.UsageError("found --dry-run and --analyse-only, needed one of them")
    # Progress and messages go to stderr, what was asked for to stdout.
    messages = Console(stderr=True)
    log_to(messages)
    parsed = load_study(study)
    folder = parsed.results_folder(output)
    for warning in study_warnings(parsed):
        click.echo(f"warning: {warning}", err=True)
    if dry_run:
        with stoppable():
            _dry_run(parsed, folder, workers=workers, as_json=as_json)
        return
    with stoppable(folder):
        if analyse_only:
            ensemble = read_ensemble(folder, parsed)
        else:
            with watching(messages) as watcher:
                ensemble = run_ensemble(parsed, folder, workers=workers, watcher=watcher)
        report = analyse_study(parsed, ensemble)
    # Before anything is written: the folder may be a copy that takes no files.
    if as_json:
        click.echo(json.dumps(results(report), indent=2))
    else:
        # In a file or a pipe, room for the whole table.
        wide = None if sys.stdout.isatty() else 120
        print_report(report, Console(width=wide))
    written = write_results(report)
    if not as_json:
        click.echo(f"{', '.join(written)} in {folder}")
    for entry in report.short_of_replicas:
        click.echo(
            f"error: {report.label(entry)}: {len(entry.complete)} of {len(entry.outcomes)} replicas complete, "
            f"needed at least {parsed.ensemble.minimum_replicas} (minimum_replicas); see {folder}",
            err=True,
        )
    if report.short_of_replicas:
        sys.exit(1)


def _dry_run(study: Study, folder: Path, *, workers: int | None, as_json: bool) -> None:
    from lpsmd.ensemble.probe import probe_study

    found = probe_study(study, folder, workers=workers)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))


@contextlib.contextmanager
def stoppable(folder: Path | None = None) -> Iterator[None]:
    """End with a hint and code 130 on Ctrl-C, on a batch system's SIGTERM, and when the terminal is closed.

    Under nohup, which ignores the latter, it goes on.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        hint = f"; run the same command again to go on with {folder}" if folder else ""
        click.echo(f"stopped{hint}", err=True)
        sys.exit(130)


def log_to(console: Console) -> None:
    """Send lpsmd's own messages to the console, below a progress bar where there is one."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)

    logger = logging.getLogger("lpsmd")
    logger.handlers[:] = [Handler()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _interrupt(number: int, frame: object) -> NoReturn:
    """End a study as Ctrl-C does: no LAMMPS process is left behind."""
    raise KeyboardInterrupt
