"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpsmd.errors import LpsmdError


class EnsembleError(LpsmdError):
    """A study that cannot be run, or looked at, where it was asked to."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file under another name, to the disk, and rename it."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def flush_to_disk(path: Path) -> None:
    """Have what was written on the disk itself, before a record says that it is there."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_atomically(path, json.dumps(values, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    EnsembleError
        If it cannot be read or is no object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnsembleError(f"{path}: cannot be read now ({error.strerror or error})") from error
    except ValueError as error:
        raise EnsembleError(f"{path}: makes no sense ({error}); remove it and run the study again") from error
    if not isinstance(values, dict):
        raise EnsembleError(f"{path}: found no JSON object; remove it and run the study again")
    return values


def read_text(path: Path) -> str:
    """What a file says, "" if it is not there; bytes that are no text become marks."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
