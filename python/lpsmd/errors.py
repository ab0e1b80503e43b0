"""The exception of everything a user can mend."""

from __future__ import annotations


class LpsmdError(ValueError):
    """Bad input or a failed run; the text names the value found, the value needed and the next step."""
