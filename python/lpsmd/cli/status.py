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
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
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
    from rich.console import Console

    from lpsmd.ensemble.overview import study_status
    from lpsmd.progress import status_table

    console = Console(width=None if sys.stdout.isatty() else 120)
    while True:
        found = study_status(folder)
        if as_json:
            click.echo(json.dumps(found.to_dict(), indent=None if watch else 2))
        else:
            console.print(status_table(found))
            console.print(_driver_line(found), markup=False, highlight=False, soft_wrap=True)
            for entry in found.conditions:
                for kind, count in entry.failed.items():
                    console.print(
                        f"{entry.name}: {count} failed: {kind}", markup=False, highlight=False, soft_wrap=True
                    )
                if entry.decision:
                    console.print(f"{entry.name}: {entry.decision}", markup=False, highlight=False, soft_wrap=True)
        if not watch or found.complete + found.failed >= found.replicas:
            return
        time.sleep(_WATCH_S)


_WATCH_S = 5.0


def _driver_line(found: StudyStatus) -> str:
    if found.driver:
        return f"run by {found.driver}"
    if found.complete + found.failed >= found.replicas:
        return "all replicas have ended"
    if found.running:
        return "no driver runs, but replicas do: those of a batch job, or what a driver that was killed left"
    return f"no driver runs; `lpsmd run {found.output}` goes on with what is missing"
