"""What a replica's folder says about itself: status.json, written at once and whole after every chunk.

A chunk counts from the moment at which its record stands there; files without a record are the remains of a run that
was stopped, and are written again. Nothing here needs numpy, so that thousands of records are read in a moment.
"""

from __future__ import annotations

import datetime
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lpsmd.ensemble.failures import Failure, FailureKind
from lpsmd.ensemble.files import EnsembleError, read_json, write_json
from lpsmd.study import Dynamics, file_sha256

STATUS_NAME = "status.json"
#: Raise it with every change of what a record holds: an older lpsmd must not take it for a damaged one.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """Size and content of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Thermo:
    """Averages over a chunk or a replica's production, first steps left out, and what a step cost."""

    mean_temperature_K: float
    mean_pressure_bar: float
    ms_per_step: float


@dataclass(frozen=True, kw_only=True)
class ChunkRecord:
    """A chunk that is whole.

    `files` are what later chunks and the analysis read, by name; `start_sha256` is the content of the restart that it
    started from, "" for chunk 0; `wall_s` is the life of the LAMMPS process.
    """

    chunk: int
    steps: int
    frames: int
    files: Mapping[str, FileRecord]
    start_sha256: str
    thermo: Thermo
    wall_s: float
    host: str
    ended: str


@dataclass(frozen=True, kw_only=True)
class ReplicaStatus:
    """All that is known about a replica; chunks by number, failures in the order of time."""

    chunks: Mapping[int, ChunkRecord]
    failures: tuple[Failure, ...]

    def next_chunk(self, dynamics: Dynamics) -> int | None:
        """The first chunk that is not whole; None if all are."""
        return next((chunk for chunk in range(dynamics.n_chunks + 1) if chunk not in self.chunks), None)

    def is_complete(self, dynamics: Dynamics) -> bool:
        """Whether all chunks are whole."""
        return self.next_chunk(dynamics) is None

    def final_failure(self, dynamics: Dynamics, *, retries: int) -> Failure | None:
        """The failure after which this replica is not tried again, if there is one."""
        chunk = self.next_chunk(dynamics)
        here = [failure for failure in self.failures if failure.chunk == chunk and not failure.kind.stops_study]
        if not here or chunk is None:
            return None
        if here[-1].kind.can_pass and len(here) <= retries:
            return None
        return here[-1]

    def steps_done(self, dynamics: Dynamics) -> int:
        """Steps of the whole chunks that the study asks for."""
        return sum(record.steps for number, record in self.chunks.items() if number <= dynamics.n_chunks)

    def thermo(self, dynamics: Dynamics) -> Thermo | None:
        """Averages over the production, None before its first chunk. Chunks are equally long."""
        found = [record.thermo for number, record in self.chunks.items() if 0 < number <= dynamics.n_chunks]
        if not found:
            return None
        return Thermo(**{name: sum(getattr(t, name) for t in found) / len(found) for name in asdict(found[0])})

    @property
    def wall_s(self) -> float:
        """Time that LAMMPS took for the whole chunks."""
        return sum(record.wall_s for record in self.chunks.values())

    def with_chunk(self, record: ChunkRecord) -> ReplicaStatus:
        """After a chunk."""
        return replace(self, chunks=dict(sorted({**self.chunks, record.chunk: record}.items())))

    def without_chunks(self, numbers: set[int]) -> ReplicaStatus:
        """After the loss of chunks."""
        return replace(self, chunks={n: record for n, record in self.chunks.items() if n not in numbers})

    def with_failure(self, failure: Failure) -> ReplicaStatus:
        """After a failure."""
        return replace(self, failures=(*self.failures, failure))

    def intact(self, folder: Path) -> ReplicaStatus:
        """Without the chunks of which a file is missing or has another size than it was recorded with."""
        return self.without_chunks(
            {
                number
                for number, record in self.chunks.items()
                if any(file_size(folder / name) != file.bytes for name, file in record.files.items())
            }
        )

    def damaged(self, folder: Path) -> dict[int, list[Path]]:
        """By chunk, the files whose content is not what was recorded. Reads all of them."""
        found = {
            number: [folder / name for name, file in record.files.items() if not _is_whole(folder / name, file)]
            for number, record in self.chunks.items()
        }
        return {number: files for number, files in found.items() if files}


class DamagedRecordError(EnsembleError):
    """A record that makes no sense: it was written whole, so the file system has changed it."""


EMPTY = ReplicaStatus(chunks={}, failures=())


def read_status(folder: Path) -> ReplicaStatus:
    """What a replica's folder says; nothing done yet where it says nothing.

    Raises
    ------
    DamagedRecordError
        If the record makes no sense.
    EnsembleError
        If it cannot be read, and may be whole; if it is of another version of lpsmd.
    """
    path = folder / STATUS_NAME
    try:
        values = read_json(path)
    except EnsembleError as error:
        if not path.exists():
            return EMPTY
        if isinstance(error.__cause__, OSError):
            raise
        raise DamagedRecordError(f"{path}: found no record ({error.__cause__ or 'no JSON object'})") from error
    if (found := values.get("format", _FORMAT)) != _FORMAT:
        raise EnsembleError(
            f"{path}: found format {found}, this lpsmd knows format {_FORMAT}: use the one that wrote it"
        )
    try:
        return ReplicaStatus(
            chunks={int(entry["chunk"]): _chunk(entry) for entry in values["chunks"]},
            failures=tuple(Failure(**{**entry, "kind": FailureKind(entry["kind"])}) for entry in values["failures"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedRecordError(f"{path}: found a record that makes no sense ({error!r})") from error


def write_status(folder: Path, status: ReplicaStatus) -> None:
    """Put the record of a replica in the place of the one before."""
    write_json(
        folder / STATUS_NAME,
        {
            "format": _FORMAT,
            "chunks": [asdict(record) for record in status.chunks.values()],
            "failures": [asdict(failure) for failure in status.failures],
        },
    )


def file_size(path: Path) -> int:
    """Size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _is_whole(path: Path, record: FileRecord) -> bool:
    return file_size(path) == record.bytes and file_sha256(path) == record.sha256


def now() -> str:
    """The time as records have it, UTC."""
    return datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")


def host() -> str:
    """Name of the machine as records have it."""
    return socket.gethostname()


def _chunk(values: dict[str, Any]) -> ChunkRecord:
    files = {name: FileRecord(**entry) for name, entry in values["files"].items()}
    return ChunkRecord(**{**values, "files": files, "thermo": Thermo(**values["thermo"])})
