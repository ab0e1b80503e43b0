"""Plots of mean squared displacements; unit in every label, verdict beside every D."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lpsmd.analysis.replicas import mean_over_replicas
from lpsmd.analysis.tables import ModelResult
from lpsmd.errors import LpsmdError

# Okabe and Ito's palette, told apart by colour-blind readers too, and on paper by the line styles
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")


def plot_msd(results: Sequence[ModelResult], *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Plot the mean MSD of each model with its standard error over replicas, fit window, D and verdict.

    Colour tells the architecture, line style the functional; models without either get a colour each.

    Parameters
    ----------
    results
        One for each model.
    ax
        Where to draw; a new pyplot figure if None.
    title
        Above the plot.

    Raises
    ------
    LpsmdError
        If there is no result.
    """
    if not results:
        raise LpsmdError("nothing to plot: found no result, at least one is needed")
    if ax is None:
        _, ax = pyplot.subplots(figsize=_figure_size(results), layout="constrained")
    colours = _assign([result.architecture or result.label for result in results], _COLOURS)
    styles = _assign([result.functional or "" for result in results], _STYLES)
    for result, colour, style in zip(results, colours, styles, strict=True):
        mean, stderr = mean_over_replicas(result.msds)
        time_ps = result.msds[0].time_ps
        ax.plot(time_ps, mean, color=colour, linestyle=style, linewidth=1.8, label=_legend(result))
        if stderr is not None:
            ax.fill_between(time_ps, mean - stderr, mean + stderr, color=colour, alpha=0.12, linewidth=0)
    _shade_windows(ax, results)
    _mark_hop(ax, results)
    species = ", ".join(dict.fromkeys(result.diffusion.species for result in results))
    ax.set_xlabel("time lag (ps)")
    ax.set_ylabel(f"mean squared displacement of {species} (Å$^2$)")
    ax.set_xlim(left=0.0, right=max(float(result.msds[0].time_ps[-1]) for result in results))
    ax.set_ylim(bottom=0.0)
    if title is not None:
        ax.set_title(title)
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        fontsize="small",
        frameon=False,
        handlelength=3.2,
        title="D ± half-interval (level, replicas), fit window: verdict; band: standard error over replicas",
        title_fontsize="small",
    )
    return ax


def save_msd_plot(
    path: str | os.PathLike[str], results: Sequence[ModelResult], *, title: str | None = None, dpi: int = 160
) -> None:
    """Write `plot_msd` to a file; its suffix tells the format (png, pdf, svg). Needs no display.

    Raises
    ------
    LpsmdError
        If there is no result.
    """
    figure = Figure(figsize=_figure_size(results), layout="constrained")
    FigureCanvasAgg(figure)
    plot_msd(results, ax=figure.add_subplot(), title=title)
    figure.savefig(os.fspath(path), dpi=dpi)


def _figure_size(results: Sequence[ModelResult]) -> tuple[float, float]:
    """Inches: the legend below grows by a line for each model."""
    return 8.4, 5.0 + 0.22 * len(results)


def _assign(names: Sequence[str], choices: Sequence[str]) -> list[str]:
    """One choice for each different name, round and round."""
    different = list(dict.fromkeys(names))
    return [choices[different.index(name) % len(choices)] for name in names]


def _legend(result: ModelResult) -> str:
    """The model with its D, window and verdict."""
    found = result.diffusion
    value = found.value_text.replace("+-", "±").replace("cm^2", "cm$^2$")
    return f"{result.label}:  {value}, {found.fit_start_ps:.3g}-{found.fit_end_ps:.3g} ps: {found.verdict}"


def _shade_windows(ax: Axes, results: Sequence[ModelResult]) -> None:
    """Each different fit window once."""
    for start, end in dict.fromkeys((r.diffusion.fit_start_ps, r.diffusion.fit_end_ps) for r in results):
        ax.axvspan(start, end, color="0.5", alpha=0.10, linewidth=0, zorder=0)
        ax.annotate(
            "fit window",
            (0.5 * (start + end), 0.985),
            xycoords=ax.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize="small",
            color="0.35",
        )


def _mark_hop(ax: Axes, results: Sequence[ModelResult]) -> None:
    """The squared hop distance, if the plot reaches anywhere near it."""
    for hop_A in dict.fromkeys(result.diffusion.options.hop_distance_A for result in results):
        if hop_A**2 < 1.5 * ax.get_ylim()[1]:
            ax.axhline(hop_A**2, color="0.55", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
            ax.annotate(
                f"one hop of {hop_A:g} Å",
                (0.99, hop_A**2),
                xycoords=ax.get_yaxis_transform(),
                ha="right",
                va="bottom",
                fontsize="small",
                color="0.35",
            )
