"""`lpsmd doctor`: does this installation run, and if not, what mends it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lpsmd.doctor import Check

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "red"}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL.pt]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: all checks, and the versions of everything.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that each program started may take.",
)
def doctor(models: tuple[str, ...], as_json: bool, timeout: float) -> None:
    r"""Check everything that a run needs, and say what mends it.

    Looks at Python, the environment variables, the plugin, LAMMPS, MPI, torch, CUDA, the threads and the compiler;
    starts LAMMPS alone and on two ranks; computes an energy with `pair_style lpsmd`; and runs the reference frame of
    each MODEL file (default: the shipped models). Nothing is changed.

    \b
    Examples:
      lpsmd doctor                         something does not run: start here
      lpsmd doctor model.pt other.pt       are my model files whole?
      lpsmd doctor --timeout 300           on a slow file system
      lpsmd doctor --json > doctor.json    for a bug report

    \b
    Each line is one of
      ok        as it must be
      note      worth knowing, nothing to mend
      warning   runs, but not as you may think
      failure   does not run; the remedy stands below

    Mend the first failure first: later ones often follow from it. Exit code 0 without a failure, 1 with one.
    """
    from lpsmd.doctor import Machine, examine, versions

    machine = Machine(models=models, timeout_s=timeout)
    checks, start = [], time.perf_counter()
    for check in examine(machine, on_start=_under_way):
        checks.append(check)
        if not as_json:
            _show(check)
    _clear()
    failed = any(check.status == "failure" for check in checks)
    if as_json:
        shown = [asdict(check) for check in checks]
        click.echo(json.dumps({"passed": not failed, "checks": shown, "versions": versions(machine)}, indent=2))
    else:
        click.echo(f"{_summary(checks)}, {time.perf_counter() - start:.1f} s")
    sys.exit(1 if failed else 0)


def _under_way(name: str) -> None:
    """On a terminal, what is looked at now; the line with its result takes its place."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{name} ...", nl=False, err=True)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)


def _show(check: Check) -> None:
    """A line with what was found; its remedy stands below it, where the eye finds it without colours too."""
    _clear()
    status = click.style(f"{check.status:<8}", fg=_COLOURS[check.status], bold=check.status == "failure" or None)
    click.echo(f"{status} {check.name:<18} {check.found}")
    if check.remedy:
        click.echo(f"{'':<27} -> {check.remedy}")


def _summary(checks: Sequence[Check]) -> str:
    from lpsmd.doctor import STATUSES

    counts = Counter(check.status for check in checks)
    words = {status: status if status == "ok" or counts[status] == 1 else f"{status}s" for status in STATUSES}
    return ", ".join(f"{counts[status]} {words[status]}" for status in STATUSES if counts[status])
