"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

output_folder = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for everything; the same command goes on there.",
)
