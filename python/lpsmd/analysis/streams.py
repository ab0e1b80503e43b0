"""Byte streams for the dump reader: compressed files, and whatever else can be read."""

from __future__ import annotations

import io
import logging
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

import zstandard

from lpsmd.errors import LpsmdError

_log = logging.getLogger(__name__)

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# Frames to be skipped, magic numbers 0x184D2A50 to 0x184D2A5F: pzstd starts with one.
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
# A compressed block may hold thousands of times its size; small pieces keep what comes out at once bounded.
_GZIP_PIECE_BYTES = 1 << 16
_ZSTD_PIECE_BYTES = 1 << 14


class Readable(Protocol):
    """What the compiled reader asks of a stream: fill `target`, return the bytes filled, 0 at the end."""

    def readinto(self, target: memoryview, /) -> int:
        """Fill `target` as far as possible."""

    def close(self) -> None:
        """Close what was opened for the reader."""


Opener = Callable[[], Readable]


def is_stream(source: object) -> bool:
    """Whether this is a binary stream, not a path or a sequence of either."""
    return hasattr(source, "readinto") or hasattr(source, "read")


def opener_of(source: str | os.PathLike[str] | IO[bytes], *, end_at_damage: bool = False) -> tuple[str, Opener | None]:
    """Name of a source, and what opens it; None for a plain file, which the compiled reader opens itself.

    What is no regular file (a pipe) is opened once, when its turn comes: bytes that were read are gone.

    Parameters
    ----------
    end_at_damage
        Take the end of a truncated compressed file for its end, so that the frames before it can be kept.
    """
    if is_stream(source):
        stream = cast(IO[bytes], source)
        name = str(getattr(stream, "name", "stream"))
        return name, lambda: _decompressing(name, cast(Any, stream), end_at_damage)
    name = os.fspath(cast("str | os.PathLike[str]", source))
    try:
        mode = Path(name).stat().st_mode
        if stat.S_ISDIR(mode):
            return name, None
        if not stat.S_ISREG(mode):
            return name, lambda: _opened(name, end_at_damage)
        with Path(name).open("rb") as file:
            head = file.read(4)
    except OSError:
        return name, None  # the compiled reader says what is wrong
    if not _packed(head):
        return name, None
    return name, lambda: _opened(name, end_at_damage)


def _packed(head: bytes) -> str:
    """How a file is compressed that starts like this; empty if it is not."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD) or (head[1:4] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5):
        return "zstd"
    return ""


def _opened(name: str, end_at_damage: bool) -> Readable:
    try:
        raw = Path(name).open("rb", buffering=0)  # noqa: SIM115 - closed by the reader
    except OSError as failure:
        raise LpsmdError(
            f"{name}: cannot be opened ({failure.strerror}); a LAMMPS dump is needed: check the path and whether the "
            "run has written it"
        ) from failure
    return _decompressing(name, raw, end_at_damage, owned=True)


def _decompressing(name: str, raw: Any, end_at_damage: bool, *, owned: bool = False) -> Readable:
    """`raw`, through gzip or zstd if it starts like that."""
    close: Callable[[], None] = raw.close if owned else lambda: None
    source = _Source(raw)
    with _told(name, "", end_at_damage):
        kind = _packed(source.head(4))
        if kind == "gzip":
            return _Named(name, kind, _Decompressed(source, _gzip_member, _GZIP_PIECE_BYTES), end_at_damage, close)
        if kind == "zstd":
            return _Named(name, kind, _Decompressed(source, _zstd_frame, _ZSTD_PIECE_BYTES), end_at_damage, close)
    return _Named(name, "", source, end_at_damage, close)


class _Source:
    """A stream that has `readinto` or `read` alone, whose first bytes may be looked at."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._head = b""

    def head(self, size: int) -> bytes:
        """The first bytes, fewer at the end; they are still read."""
        while len(self._head) < size:
            more = self._read(size - len(self._head))
            if not more:
                break
            self._head += more
        return self._head

    def read(self, size: int) -> bytes:
        """Some of the next bytes, none at the end."""
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._read(size)

    def readinto(self, target: memoryview, /) -> int:
        if self._head or not hasattr(self._raw, "readinto"):
            data = self.read(len(target))
            target[: len(data)] = data
            return len(data)
        return int(_not_none(self._raw.readinto(target)))

    def _read(self, size: int) -> bytes:
        if hasattr(self._raw, "read"):
            return bytes(_not_none(self._raw.read(size)))
        buffer = bytearray(size)
        return bytes(buffer[: int(_not_none(self._raw.readinto(buffer)))])


def _not_none(got: Any) -> Any:
    if got is None:
        raise BlockingIOError("it does not wait for its data; a blocking stream is needed")
    return got


@contextmanager
def _told(name: str, kind: str, end_at_damage: bool) -> Iterator[None]:
    """Turns the failures of a stream into errors that name it."""
    try:
        yield
    except EOFError as failure:
        if end_at_damage:
            _log.warning("%s: the %s data are cut short (%s); what came behind is lost", name, kind, failure)
            return
        raise LpsmdError(
            f"{name}: the {kind} data are cut short ({failure}), whole ones are needed: the run was interrupted or the "
            "copy is incomplete, so finish or copy it again, or ask for the truncated frame to be left out "
            "(drop_truncated=True in Python)"
        ) from failure
    except (OSError, zlib.error, zstandard.ZstdError) as failure:
        what = f"the {kind} data are damaged" if kind else "cannot be read"
        raise LpsmdError(f"{name}: {what} ({failure}), whole ones are needed: copy the file again") from failure


class _Named:
    """A stream whose failures name it."""

    def __init__(self, name: str, kind: str, stream: Any, end_at_damage: bool, close: Callable[[], None]) -> None:
        self._name = name
        self._kind = kind
        self._stream = stream
        self._end_at_damage = end_at_damage
        self.close = close

    def readinto(self, target: memoryview, /) -> int:
        with _told(self._name, self._kind, self._end_at_damage):
            return int(self._stream.readinto(target) or 0)
        return 0


def _gzip_member() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _zstd_frame() -> Any:
    return zstandard.ZstdDecompressor().decompressobj()


class _Decompressed(io.RawIOBase):
    """Members of gzip or frames of zstd one after another.

    Faster than `gzip`, and unlike `zstandard`'s own reader it takes a cut frame for an EOFError.
    """

    def __init__(self, raw: Any, new_part: Callable[[], Any], piece_bytes: int) -> None:
        self._raw = raw
        self._new_part = new_part
        self._piece_bytes = piece_bytes
        self._part: Any = None
        self._ready = memoryview(b"")
        self._padded = False  # behind the end of a part, where zeros fill up some archives

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        while not self._ready:
            piece = self._unused() or self._raw.read(self._piece_bytes)
            if not piece:
                if self._part is not None:
                    raise EOFError("the file ends before their end mark")
                return 0
            if self._part is None:
                if self._padded:
                    piece = piece.lstrip(b"\0")
                if not piece:
                    continue
                self._part = self._new_part()
            self._ready = memoryview(self._part.decompress(piece))
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unused(self) -> bytes:
        """What is left of the last piece behind the end of a part."""
        if self._part is None or not self._part.eof:
            return b""
        left = bytes(self._part.unused_data).lstrip(b"\0")
        self._part = None
        self._padded = True
        return left
