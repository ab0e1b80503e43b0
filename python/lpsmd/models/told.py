"""Errors that passports tell: those on the test frames of each training, without an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lpsmd.models.accuracy import REGIONS, AccuracyError
from lpsmd.models.contract import Passport


def region_of(text: str) -> tuple[str, str]:
    """Key and value of a region such as temperature_K=900, the value as in `lpsmd.models.accuracy.errors_of`.

    Raises
    ------
    AccuracyError
        If there is no value, or the key is none of `REGIONS`.
    """
    key, _, value = text.partition("=")
    if key not in REGIONS or not value:
        raise AccuracyError(
            f"region: found {text!r}, needed KEY=VALUE with one of the keys {', '.join(REGIONS)}, such as "
            f"temperature_K=900"
        )
    with suppress(ValueError):
        value = f"{float(value):g}"
    return key, value


def told_errors(passport: Passport, region: str) -> dict[str, Any]:
    """A model's seed, size, and errors on its test frames; None for what its passport does not tell.

    Parameters
    ----------
    passport
        Of `lpsmd train`, or any other.
    region
        As in `region_of`; frames of which the errors are told apart.

    Raises
    ------
    AccuracyError
        As `region_of`.
    """
    key, value = region_of(region)
    training = passport.training
    held_out = _mapping(training.get("held_out"))
    inside = _mapping(_mapping(_mapping(held_out.get("by_region")).get(key)).get(value))
    difference = _mapping(training.get("functional_difference"))
    errors = ("frames", "force_rms_eV_per_A", "energy_rms_eV_per_atom")
    return {
        "architecture": passport.architecture,
        "functional": passport.functional,
        "seed": training.get("seed"),
        "size": training.get("size"),
        **{name: held_out.get(name) for name in errors},
        **{f"region_{name}": inside.get(name) for name in errors},
        "r2": difference.get("r2"),
        "r2_error": difference.get("r2_error"),
        "by_element": {
            element: _mapping(told).get("force_rms_eV_per_A")
            for element, told in _mapping(held_out.get("by_element")).items()
        },
    }


def _mapping(value: object) -> Mapping[str, Any]:
    """A passport's `training` is free text: what is no mapping tells nothing."""
    return value if isinstance(value, Mapping) else {}
