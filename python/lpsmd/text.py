"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any


def format_with_error(value: float, error: float | None) -> str:
    """``(1.2 +- 0.5)e-5``: the error to one digit (two if it starts with 1), the value to the same place."""
    largest = max(abs(value), abs(error or 0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return f"({value:g} +- {error:g})" if error is not None else f"{value:g}"
    power = math.floor(math.log10(largest))
    ending = f"e{power}" if power else ""
    if not error:
        return f"{value / 10.0**power:.2f}{ending}"
    scaled = error / 10.0**power
    place = -math.floor(math.log10(scaled))
    digits = max(0, place + (1 if scaled * 10.0**place < 1.95 else 0))
    return f"({value / 10.0**power:.{digits}f} +- {scaled:.{digits}f}){ending}"


def fixed_with_error(value: float, error: float | None, *, least: int, sign: str = "±") -> str:
    """``0.996 ± 0.001``: in `least` decimals, or as many more as the error needs not to round to nothing."""
    if error is None:
        return f"{value:.{least}f}"
    decimals = 1 - math.floor(math.log10(error)) if 0.0 < error < 0.5 * 10.0**-least else least
    return f"{value:.{decimals}f} {sign} {error:.{decimals}f}"


def short(value: float) -> str:
    """A time in three digits, at least one decimal."""
    text = f"{value:.3g}"
    return text if "." in text or "e" in text else text + ".0"


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: None stands for what could not be had, in lists and dictionaries too."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return without_nan(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
