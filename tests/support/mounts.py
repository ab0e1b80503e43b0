"""Small disks that run full and folders that take no files, for tests that run as root."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_PAGE = 4096


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount something on a folder; the test is skipped where that is not permitted."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"THIS TEST NEEDS THE RIGHT TO MOUNT: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder, taking no files: the permissions of a folder do not hold root."""
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder


@contextlib.contextmanager
def disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """A disk of so many KiB."""
    folder.mkdir(parents=True, exist_ok=True)
    with mounted(folder, "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs"):
        yield folder


def fill(file: Path, *, leave_kib: int = 0) -> None:
    """Write a file until the disk has so much left."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * _PAGE)
    with file.open("r+b") as stream:
        stream.truncate(max(0, file.stat().st_size - 1024 * leave_kib))
