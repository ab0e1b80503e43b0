"""The exceptions of labelled sets."""

from __future__ import annotations

from lpsmd.errors import LpsmdError


class DatasetError(LpsmdError):
    """Labelled frames that no model should be trained on."""


class SplitError(DatasetError):
    """Frames cannot be split as asked."""
