"""A picture of what the committee saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lpsmd.selection.committee import Bounds
from lpsmd.selection.outcome import Selection

_BINS = 40


def save_seen_plot(path: Path, selection: Selection, bounds: Bounds) -> None:
    """Histograms of the committee deviation, a line for each temperature; between the bounds is shaded."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    by_temperature: dict[float, list[float]] = {}
    for entry in selection.seen:
        deviation = entry.deviation_eV_per_A
        if deviation is not None and 0.0 < deviation < np.inf:
            by_temperature.setdefault(entry.frame.temperature_K, []).append(deviation)
    found = np.concatenate([np.asarray(values) for values in by_temperature.values()])
    edges = np.geomspace(found.min(), found.max() * 1.001, _BINS + 1)
    for temperature_K, values in sorted(by_temperature.items()):
        share = np.full(len(values), 100.0 / len(values))
        label = f"{temperature_K:g} K, {len(values)} frames"
        ax.hist(values, bins=edges.tolist(), weights=share, histtype="step", label=label)
    ax.axvspan(bounds.lower_eV_per_A, bounds.upper_eV_per_A, color="0.9", zorder=0, label="within the bounds")
    ax.set_xscale("log")
    ax.set_xlabel("committee deviation of forces (eV/Å), largest over the atoms")
    ax.set_ylabel("frames (%)")
    ax.legend(fontsize="small")
    figure.savefig(path, dpi=160)
