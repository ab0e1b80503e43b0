"""Errors that passports tell: those on the held-out frames of each training, without an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lpsmd.models.accuracy import REGIONS, AccuracyError
from lpsmd.models.contract import Passport

_ERRORS = ("frames", "force_rms_eV_per_A", "energy_rms_eV_per_atom")


def told_errors(passports: Mapping[Path, Passport], region: str) -> list[dict[str, Any]]:
    """For each model its seed, size, and errors on its held-out frames; None for what a passport does not tell.

    Parameters
    ----------
    passports
        Of `lpsmd train`, or any other, by the file of the model.
    region
        KEY=VALUE, such as temperature_K=900; frames of which the errors are told apart.

    Raises
    ------
    AccuracyError
        If there is no value, the key is none of `REGIONS`, or no passport has errors of the region.
    """
    key, value = _region(region)
    regions = {path: _mapping(_mapping(_held_out(one).get("by_region")).get(key)) for path, one in passports.items()}
    known = dict.fromkeys(name for values in regions.values() for name in values)
    if known and value not in known:
        raise AccuracyError(
            f"region: found {key}={value}, the passports have {key}={', '.join(known)}; take one of them"
        )
    return [_row(path, one, _mapping(regions[path].get(value))) for path, one in passports.items()]


def finite(value: object) -> float | None:
    """A number of a passport's `training`, which is free text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _region(text: str) -> tuple[str, str]:
    """Key and value, the value as in `lpsmd.models.accuracy.errors_of`."""
    key, _, value = text.partition("=")
    if key not in REGIONS or not value:
        raise AccuracyError(
            f"region: found {text!r}, needed KEY=VALUE with one of the keys {', '.join(REGIONS)}, such as "
            f"temperature_K=900"
        )
    with suppress(ValueError):
        value = f"{float(value):g}"
    return key, value


def _row(path: Path, passport: Passport, region: Mapping[str, Any]) -> dict[str, Any]:
    training, held_out = passport.training, _held_out(passport)
    difference = _mapping(training.get("functional_difference"))
    elements = _mapping(held_out.get("by_element"))
    resolved = _mapping(difference.get("by_element"))
    return {
        "model": str(path),
        "architecture": passport.architecture,
        "functional": passport.functional,
        "seed": training.get("seed"),
        "size": training.get("size"),
        "part": held_out.get("part"),
        **{name: finite(held_out.get(name)) for name in _ERRORS},
        **{f"{name}_force_rms_eV_per_A": finite(_mapping(told).get(_ERRORS[1])) for name, told in elements.items()},
        **{f"region_{name}": finite(region.get(name)) for name in _ERRORS},
        "r2": finite(difference.get("r2")),
        "r2_error": finite(difference.get("r2_error")),
        **{f"{name}_r2": finite(_mapping(told).get("r2")) for name, told in resolved.items()},
    }


def _held_out(passport: Passport) -> Mapping[str, Any]:
    return _mapping(passport.training.get("held_out"))


def _mapping(value: object) -> Mapping[str, Any]:
    """What is no mapping tells nothing."""
    return value if isinstance(value, Mapping) else {}
