"""Byte streams for the dump reader: compressed files, and whatever else can be read."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

import zstandard

from lpsmd.errors import LpsmdError

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# A compressed block may hold thousands of times its size; small pieces keep what comes out at once bounded.
_PIECE_BYTES = 1 << 14


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
        with Path(name).open("rb") as file:
            head = file.read(4)
    except OSError:
        return name, None  # the compiled reader says what is wrong
    if not head.startswith((_GZIP, _ZSTD)):
        return name, None
    return name, lambda: _decompressing(name, Path(name).open("rb"), end_at_damage, owned=True)


def _decompressing(name: str, raw: Any, end_at_damage: bool, *, owned: bool = False) -> Readable:
    """`raw`, through gzip or zstd if it starts like that."""
    buffered = raw if hasattr(raw, "peek") else io.BufferedReader(raw if hasattr(raw, "readinto") else _OnlyRead(raw))
    head = buffered.peek(4)[:4]
    if head.startswith(_GZIP):
        return _Named(name, "gzip", gzip.GzipFile(fileobj=buffered), end_at_damage, raw if owned else None)
    if head.startswith(_ZSTD):
        return _Named(name, "zstd", io.BufferedReader(_Zstd(buffered), 1 << 18), end_at_damage, raw if owned else None)
    return _Named(name, "", buffered, end_at_damage, raw if owned else None)


class _Named:
    """Turns the failures of a stream into errors that name it."""

    def __init__(self, name: str, kind: str, stream: Any, end_at_damage: bool, owned: Any) -> None:
        self._name = name
        self._kind = kind
        self._stream = stream
        self._end_at_damage = end_at_damage
        self._owned = owned

    def readinto(self, target: memoryview, /) -> int:
        with self._told():
            return int(self._stream.readinto(target) or 0)
        return 0

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except EOFError as failure:
            if self._end_at_damage:
                return
            raise LpsmdError(
                f"{self._name}: the {self._kind} data are cut short ({failure}), whole ones are needed: the run was "
                "interrupted or the copy is incomplete, so finish or copy it again, or ask for the truncated frame to "
                "be left out (drop_truncated=True in Python)"
            ) from failure
        except (OSError, zlib.error, zstandard.ZstdError) as failure:
            what = f"the {self._kind} data are damaged" if self._kind else "cannot be read"
            raise LpsmdError(
                f"{self._name}: {what} ({failure}), whole ones are needed: copy the file again"
            ) from failure


class _Zstd(io.RawIOBase):
    """Frames of zstd one after another. Unlike `zstandard`'s own reader, a cut one is an EOFError."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        while not self._ready:
            piece = self._unused() or self._raw.read(_PIECE_BYTES)
            if not piece:
                if self._frame is not None:
                    raise EOFError("no end of the zstd frame")
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._frame.decompress(piece))
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unused(self) -> bytes:
        """What is left of the last piece behind the end of a frame."""
        if self._frame is None or not self._frame.eof:
            return b""
        left = bytes(self._frame.unused_data)
        self._frame = None
        return left


class _OnlyRead(io.RawIOBase):
    """A stream that has `read` alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        data = self._stream.read(len(target))
        target[: len(data)] = data
        return len(data)
