"""The core's SHA-256 against Python's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpsmd import _core
from lpsmd.errors import LpsmdError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300))
def test_equals_hashlib(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert _core.sha256_of_file(str(file)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("length", [0, 55, 56, 63, 64, 119, 120, 100_000])
def test_lengths_at_which_the_padding_changes(length: int, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"l" * length)
    assert _core.sha256_of_file(str(file)) == hashlib.sha256(b"l" * length).hexdigest()


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(LpsmdError, match="cannot be read: check that it exists"):
            _core.sha256_of_file(str(path))
