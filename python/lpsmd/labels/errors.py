"""The exception of the labels."""

from __future__ import annotations

from lpsmd.errors import LpsmdError


class LabelError(LpsmdError):
    """Frames, a recipe or programs with which no labels can be made."""
