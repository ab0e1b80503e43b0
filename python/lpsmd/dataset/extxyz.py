"""Extended XYZ as text: words stay words, and one key of a line changes alone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence

import ase.io
from ase import Atoms
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict

# What ASE's reader takes for one value whatever is inside.
_QUOTED = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[[^\]]*\]"""


def as_extxyz(frames: Sequence[Atoms]) -> str:
    """Frames with all keys, in such a way that ASE reads a word back as it is.

    Without help a hash such as 0012345678901234 or 12e3456789012345 comes back as a number, and is another name.
    """
    stream = io.StringIO()
    ase.io.write(stream, [_with_words(atoms) for atoms in frames], format="extxyz")
    return stream.getvalue()


def _with_words(atoms: Atoms) -> Atoms:
    words = {key: value for key, value in atoms.info.items() if isinstance(value, str) and not _is_read_back(value)}
    if not words:
        return atoms
    written: Atoms = atoms.copy()
    written.calc = atoms.calc
    written.info.update({key: f"_JSON {json.dumps(value)}" for key, value in words.items()})
    return written


def _is_read_back(value: str) -> bool:
    """As a number perhaps, if it prints the same: keys are compared as text."""
    return str(key_val_str_to_dict(key_val_dict_to_str({"key": value}))["key"]) == value


def with_key(comment: str, key: str, value: str) -> str:
    """The comment line of a frame with another value of one key, at its end.

    Parameters
    ----------
    comment
        With or without its line break.
    key, value
        Words without spaces.
    """
    own = rf"(?:^|\s){key}\s*=\s*(?:{_QUOTED}|\S+)"
    # Quoted values come first, so that no key is found in them.
    without = re.sub(rf"({_QUOTED})|{own}", lambda found: found[1] or "", comment.rstrip("\n"))
    return f"{without} {key}={value}\n"
