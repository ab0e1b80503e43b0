"""`lpsmd status`: how a study stands."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lpsmd.ensemble import StudyStatus


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with units in the names.")
@click.option("-w", "--watch", is_flag=True, help="Print it again every few seconds, until the study is done.")
def status(folder: Path, as_json: bool, watch: bool) -> None:
    r"""Say how the study in FOLDER stands, at any time and from any machine that sees it.

    Nothing is run or changed. Read are the records that replicas write after every chunk, so that it does not matter
    whether a driver runs, a batch job, or nothing. D is the one that the driver last wrote down.

    \b
      lpsmd status results
      lpsmd status results --watch
      lpsmd status results --json | jq .seconds_left
    """
    from lpsmd.ensemble.overview import study_status

    while True:
        found = study_status(folder)
        if as_json:
            click.echo(json.dumps(found.to_dict(), indent=None if watch else 2))
        else:
            _print(found)
        if not watch or (found.all_ended and not found.driver):  # between two waves a driver goes on
            return
        time.sleep(_WATCH_S)


_WATCH_S = 5.0


def _print(found: StudyStatus) -> None:
    from rich.console import Console

    from lpsmd.progress import headline, status_table

    click.echo(f"{found.study}: {headline(found)}")
    Console(width=None if sys.stdout.isatty() else 120).print(status_table(found))
    click.echo(_driver_line(found))
    for entry in found.conditions:
        for kind, count in entry.failed.items():
            click.echo(f"{entry.name}: {count} failed: {kind}")
        if entry.decision:
            click.echo(f"{entry.name}: {entry.decision}")
    if found.failed:
        click.echo(f"`lpsmd run {found.output} --analyse-only` says why replicas failed, and what that means for D")


def _driver_line(found: StudyStatus) -> str:
    if found.driver:
        return f"run by {found.driver}"
    if found.all_ended:
        return "all replicas have ended"
    if found.running:
        return "no driver runs, but replicas do: those of a batch job, or what a driver that was killed left"
    return f"no driver runs; `lpsmd run {found.output}` goes on with what is missing"
