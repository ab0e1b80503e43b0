"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from click.decorators import FC

output_folder = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for everything; the same command goes on there.",
)


def workers_option(help_text: str) -> Callable[[FC], FC]:
    """How many things run at a time; `help_text` says which, and how many without it."""
    return click.option("-w", "--workers", type=click.IntRange(min=1), help=help_text)
