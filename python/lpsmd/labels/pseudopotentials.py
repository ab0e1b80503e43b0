"""Goedecker-Teter-Hutter pseudopotentials: from CP2K's data file to files that Quantum ESPRESSO reads.

CP2K keeps all elements in one file; an entry is

    Li GTH-PBE-q1 GTH-GGA-q1            element, name, other names
        1    0    0    0                electrons by angular momentum
        0.7667   2  -1.9029  0.3421     r_loc, number of local coefficients, coefficients
           2                            channels of projectors, l = 0, 1, ...
        0.6660   1   1.7367             radius, number of projectors n, upper triangle of h (n x n), row by row
        1.0850   1  -0.0153

Quantum ESPRESSO reads ABINIT's format with pspcod 10 from files named *.gth. It has the same numbers with a row of h a
line and, for l > 0, as many for the spin-orbit part, which are zero here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_numbers

from lpsmd.labels.errors import LabelError

#: CP2K's data file, and where installations keep it.
DATA_FILE = "POTENTIAL_UZH"
_FOLDERS = (Path("/usr/share/cp2k"), Path("/usr/share/cp2k/data"), Path("/usr/local/share/cp2k/data"))
_FOLDER_VARIABLE = "CP2K_DATA_DIR"

_PSPXC_PBE = 11
#: As many projectors of l = 0, 1, 2, 3, and local coefficients, as pw.x can take.
_MOST_PROJECTORS = (3, 3, 2, 1)
_MOST_LOCAL = 4


@dataclass(frozen=True, kw_only=True)
class GthPotential:
    """A pseudopotential with its numbers as they stand in the data file (Hartree atomic units).

    `channels` holds for l = 0, 1, ... the radius and the rows of the upper triangle of h.
    """

    element: str
    name: str
    valence: int
    r_loc: str
    local: tuple[str, ...]
    channels: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


def find_data_file(given: Path | None = None) -> Path:
    """CP2K's data file: the one that is given, else that of an installation.

    Raises
    ------
    LabelError
        If there is none; says which package brings it.
    """
    if given is not None:
        if given.is_file():
            return given
        raise LabelError(f"{given}: found no file of pseudopotentials, needed CP2K's {DATA_FILE}")
    variable = os.environ.get(_FOLDER_VARIABLE)
    folders = ([Path(variable)] if variable else []) + list(_FOLDERS)
    for folder in folders:
        if (folder / DATA_FILE).is_file():
            return folder / DATA_FILE
    raise LabelError(
        f"found no {DATA_FILE}, CP2K's pseudopotentials, in {', '.join(map(str, folders))}; install it (Debian: "
        f"apt install cp2k-data), set {_FOLDER_VARIABLE}, or name the file with --potentials"
    )


def read_potential(file: Path, *, element: str, name: str) -> GthPotential:
    """One entry of CP2K's data file.

    Parameters
    ----------
    file, element, name
        The data file, and the entry as in "Li", "GTH-PBE-q1".

    Raises
    ------
    LabelError
        If it is not there, not whole, or not what its name says.
    """
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    heads = {n: words for n, words in enumerate(map(str.split, lines)) if words[:1] == [element]}
    start = next((n for n, words in heads.items() if name in words[1:]), None)
    if start is None:
        known = [words[1] for words in heads.values() if len(words) > 1 and words[1].startswith("GTH-PBE-q")]
        raise LabelError(
            f"{file}: found no {name} for {element}, {'it has ' + ', '.join(known) if known else 'nor any GTH-PBE-q'}; "
            f"change [pseudopotentials] of the recipe, or name another file with --potentials"
        )
    try:
        return _parse(lines[start + 1 :], element=element, name=name)
    except (ValueError, IndexError) as error:
        raise LabelError(f"{file}, line {start + 1}: the entry {element} {name} is damaged: {error}") from error


def _parse(lines: Sequence[str], *, element: str, name: str) -> GthPotential:
    valence = sum(int(word) for word in lines[0].split())
    words = iter([word for line in lines[1:60] for word in line.partition("#")[0].split()])

    def number() -> str:
        word = next(words, "the end")
        float(word)  # a word that is no number ends the entry too soon
        return word

    r_loc = number()
    local = tuple(number() for _ in range(int(number())))
    channels = []
    for _ in range(int(number())):
        radius, n = number(), int(number())
        channels.append((radius, tuple(tuple(number() for _ in range(n - row)) for row in range(n))))
    found = GthPotential(
        element=element, name=name, valence=valence, r_loc=r_loc, local=local, channels=tuple(channels)
    )
    _check(found)
    return found


def _check(potential: GthPotential) -> None:
    if not potential.name.endswith(f"-q{potential.valence}"):
        raise ValueError(f"found {potential.valence} valence electrons, needed as many as the name says")
    projectors = [len(rows) for _, rows in potential.channels]
    fits = len(projectors) <= len(_MOST_PROJECTORS) and len(potential.local) <= _MOST_LOCAL
    if not fits or any(n > most for n, most in zip(projectors, _MOST_PROJECTORS, strict=False)):
        raise ValueError(
            f"found {len(potential.local)} local coefficients and {projectors} projectors, pw.x takes at most "
            f"{_MOST_LOCAL} and {list(_MOST_PROJECTORS)}"
        )


def qe_text(potential: GthPotential) -> str:
    """The content of a *.gth file for Quantum ESPRESSO (ABINIT's pspcod 10)."""
    # pw.x reads channels 0 to lmax in any case: one without projectors stands for none.
    channels = potential.channels or (("1.0", ()),)
    lines = [
        f"{potential.element} {potential.name} (CP2K's data file, converted by lpsmd)",
        f"{atomic_numbers[potential.element]} {potential.valence} 010100  zatom, zion, pspdat",
        f"10 {_PSPXC_PBE} {len(channels) - 1} 0 2002 0  pspcod, pspxc, lmax, lloc, mmax, r2well",
        " ".join([potential.r_loc, str(len(potential.local)), *potential.local]),
        str(len(potential.channels)),
    ]
    for l, (radius, rows) in enumerate(channels):  # noqa: E741 (angular momentum)
        lines.append(" ".join([radius, str(len(rows)), *(rows[0] if rows else ())]))
        lines += [" ".join(row) for row in rows[1:]]
        if l > 0:
            lines += [" ".join(["0.0"] * len(row)) for row in rows]
    return "\n".join(lines) + "\n"


def pseudopotential_name(potential: str, element: str) -> str:
    """File name of an element's pseudopotential: Li-q1.gth for GTH-PBE-q1."""
    return f"{element}-{potential.rpartition('-')[2]}.gth"


def pseudopotential_files(potentials: Mapping[str, str], *, data_file: Path) -> dict[str, str]:
    """Convert the pseudopotentials of some elements.

    Parameters
    ----------
    potentials
        Name of the entry in the data file, by element.
    data_file
        CP2K's data file.

    Returns
    -------
    dict
        Content of each file, by its name.

    Raises
    ------
    LabelError
        If an entry is not there or not fit.
    """
    return {
        pseudopotential_name(name, element): qe_text(read_potential(data_file, element=element, name=name))
        for element, name in potentials.items()
    }
