"""Plots of mean squared displacements; unit in every label, verdict beside every D."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from lpsmd.analysis.arrhenius import ArrheniusFit, ArrheniusPoint
from lpsmd.analysis.diffusion import window_scan
from lpsmd.analysis.distributions import student_half_interval
from lpsmd.analysis.motion import local_exponent
from lpsmd.analysis.replicas import mean_over_replicas
from lpsmd.analysis.tables import ModelResult
from lpsmd.errors import LpsmdError
from lpsmd.text import fixed_with_error

# Okabe and Ito's palette, told apart by colour-blind readers too, and on paper by the line styles
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")
_COLOUR = _COLOURS[0]
_FOUND = _COLOURS[1]
_GREY = "0.35"


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
    _draw_msd(ax, results)
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


def plot_exponent(result: ModelResult, *, ax: Axes | None = None) -> Axes:
    """Plot the local exponent beta(t) of the mean MSD, 1 where the motion is diffusive and 0 where it is caged.

    Parameters
    ----------
    result
        Of one model.
    ax
        Where to draw; a new pyplot figure if None.
    """
    ax = _axes(ax)
    mean, _ = mean_over_replicas(result.msds, structures=result.diffusion.structures)
    times, exponents = local_exponent(result.msds[0].time_ps, mean)
    for level, name in ((1.0, "diffusive"), (0.0, "caged")):
        ax.axhline(level, color="0.55", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        ax.annotate(
            name,
            (0.01, level),
            xytext=(0, 2),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="bottom",
            fontsize="small",
            color=_GREY,
        )
    ax.plot(times, exponents, color=_COLOUR, marker="o", markersize=3.5, linewidth=1.4)
    motion, found = result.diffusion.motion, result.diffusion
    centre = math.sqrt(found.fit_start_ps * found.fit_end_ps)
    half = motion.exponent_half_interval
    ax.errorbar(
        [centre],
        [motion.exponent],
        xerr=[[centre - found.fit_start_ps], [found.fit_end_ps - centre]],
        yerr=None if half is None else [half],
        color=_FOUND,
        marker="s",
        markersize=5,
        capsize=3,
        label=f"over the window: {fixed_with_error(motion.exponent, half, least=2)}: {found.verdict}",
    )
    _log_time(ax)
    ax.set_ylabel(r"local exponent $\beta$ = d ln MSD / d ln t")
    low, high = (min(0.0, *exponents), max(1.0, *exponents)) if len(exponents) else (0.0, 1.0)
    ax.set_ylim(low - 0.12, high + 0.35)
    _shade_windows(ax, [result], text=False)
    ax.legend(loc="upper left", fontsize="small", frameon=False)
    return ax


def plot_window(result: ModelResult, *, ax: Axes | None = None) -> Axes:
    """Plot D against the start of the fit window, its end kept: flat where the motion is diffusive.

    The band is the standard error; the start chosen is marked, with D, its interval and the verdict.

    Parameters
    ----------
    result
        Of one model.
    ax
        Where to draw; a new pyplot figure if None.
    """
    ax = _axes(ax)
    found = result.diffusion
    power, unit = _scale(found.D_cm2_per_s)
    starts, values, errors = window_scan(result.msds, found.options, structures=found.structures)
    ax.plot(starts, values * power, color=_COLOUR, marker="o", markersize=3.5, linewidth=1.4, label="D(start)")
    if np.isfinite(errors).any():
        low, high = (values - errors) * power, (values + errors) * power
        ax.fill_between(starts, low, high, color=_COLOUR, alpha=0.15, linewidth=0, label="standard error")
    ax.errorbar(
        [found.fit_start_ps],
        [found.D_cm2_per_s * power],
        yerr=_error(found.D_half_interval_cm2_per_s, power),
        color=_FOUND,
        marker="s",
        markersize=5,
        capsize=3,
        label=f"chosen: {_value(result)}\n{found.verdict}",
    )
    ax.set_xlabel(f"start of the fit window (ps), its end at {found.fit_end_ps:.3g} ps")
    ax.set_ylabel(f"D of {found.species} ({unit})")
    ax.set_xlim(left=0.0)
    _include_zero(ax)
    ax.legend(loc="best", fontsize="small", frameon=False)
    return ax


def plot_replicas(result: ModelResult, *, ax: Axes | None = None) -> Axes:
    """Plot D of each replica in ascending order, with the mean, its interval and the verdict.

    Parameters
    ----------
    result
        Of one model.
    ax
        Where to draw; a new pyplot figure if None.
    """
    ax = _axes(ax)
    found = result.diffusion
    power, unit = _scale(found.D_cm2_per_s)
    values = power * np.sort(found.D_replicas_cm2_per_s)
    ranks = np.arange(1, len(values) + 1)
    ax.plot(ranks, values, color=_COLOUR, marker="o", markersize=4, linestyle="none", label="replicas")
    mean, half = power * found.D_cm2_per_s, _error(found.D_half_interval_cm2_per_s, power)
    ax.axhline(mean, color=_FOUND, linewidth=1.4, label=f"{_value(result)}\n{found.verdict}")
    if half is not None:
        ax.axhspan(mean - half, mean + half, color=_FOUND, alpha=0.15, linewidth=0)
    ax.set_xlabel("replica, by ascending D")
    ax.set_ylabel(f"D of {found.species} ({unit})")
    ax.set_xlim(0.5 - 0.02 * len(values), len(values) + 0.5 + 0.02 * len(values))
    ax.xaxis.set_major_locator(FixedLocator([1]) if len(values) == 1 else MaxNLocator(integer=True))
    _include_zero(ax)
    ax.legend(loc="upper left", fontsize="small", frameon=False)
    return ax


def plot_alpha2(result: ModelResult, *, ax: Axes | None = None) -> Axes:
    """Plot the non-Gaussian parameter alpha2(t), the mean over replicas: 0 for diffusion, high for hops out of cages.

    Parameters
    ----------
    result
        Of one model, whose MSDs carry `alpha2`.
    ax
        Where to draw; a new pyplot figure if None.

    Raises
    ------
    LpsmdError
        If they do not.
    """
    first = result.msds[0]
    if any(len(msd.alpha2) == 0 for msd in result.msds):
        raise LpsmdError("found MSDs without alpha2, needed for its plot: compute them anew from the dumps")
    ax = _axes(ax)
    rows = np.array([msd.alpha2 for msd in result.msds])
    mean = rows.mean(axis=0)
    ax.axhline(0.0, color="0.55", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.plot(first.alpha2_time_ps, mean, color=_COLOUR, marker="o", markersize=3.5, linewidth=1.4)
    if len(rows) > 1:
        error = rows.std(axis=0, ddof=1) / math.sqrt(len(rows))
        ax.fill_between(first.alpha2_time_ps, mean - error, mean + error, color=_COLOUR, alpha=0.15, linewidth=0)
    _log_time(ax)
    ax.set_ylabel(f"non-Gaussian parameter $\\alpha_2$ of {first.species}")
    return ax


def plot_arrhenius(
    fit: ArrheniusFit, *, ax: Axes | None = None, at_K: Sequence[float] = (), title: str | None = None
) -> Axes:
    """Plot D over 1000 / T with its intervals, the fitted line and its error band.

    Points left out are hollow, and each point whose verdict is not diffusive says so.

    Parameters
    ----------
    fit
        From `lpsmd.analysis.arrhenius_fit`.
    ax
        Where to draw; a new pyplot figure if None.
    at_K
        Temperatures to extrapolate to.
    title
        Above the plot.
    """
    ax = _axes(ax)
    # what is not positive has no place on a logarithmic axis
    shown = [point for point in (*fit.points, *fit.left_out) if point.D_cm2_per_s > 0.0]
    temperatures = [*(point.temperature_K for point in shown), *at_K]
    inverse = np.linspace(1000.0 / max(temperatures), 1000.0 / min(temperatures), 200)
    band = [fit.extrapolate(1000.0 / x) for x in inverse]
    low, high = np.array([[p.low_cm2_per_s, p.high_cm2_per_s] for p in band]).T
    label = f"$E_a$ = {fixed_with_error(fit.activation_energy_eV, fit.activation_energy_half_interval_eV, least=3)} eV"
    line = f"{label} ({100 * fit.confidence:g} %)" + ("" if fit.is_straight else ": not one straight line")
    ax.plot(inverse, [p.D_cm2_per_s for p in band], color=_COLOUR, linewidth=1.4, label=line)
    ax.fill_between(inverse, low, high, color=_COLOUR, alpha=0.15, linewidth=0)
    for point in shown:
        fitted = point in fit.points
        ax.errorbar(
            [1000.0 / point.temperature_K],
            [point.D_cm2_per_s],
            yerr=_log_error(point, fit.confidence),
            color=_COLOUR if fitted else _FOUND,
            marker="o",
            markersize=5,
            markerfacecolor=_COLOUR if fitted else "white",
            capsize=3,
            linestyle="none",
        )
        ax.annotate(
            f"{point.verdict}" if fitted else f"{point.verdict}, left out",
            (1000.0 / point.temperature_K, point.D_cm2_per_s),
            xytext=(7, 5),
            textcoords="offset points",
            fontsize="x-small",
            color=_GREY if fitted else _FOUND,
        )
    for temperature_K in at_K:
        found = fit.extrapolate(temperature_K)
        ax.errorbar(
            [1000.0 / temperature_K],
            [found.D_cm2_per_s],
            yerr=[[found.D_cm2_per_s - found.low_cm2_per_s], [found.high_cm2_per_s - found.D_cm2_per_s]],
            color=_COLOURS[2],
            marker="D",
            markersize=5,
            capsize=3,
            linestyle="none",
            label=textwrap.fill(str(found).replace("cm^2", "cm$^2$"), 60),
        )
    ax.set_yscale("log")
    ax.set_xlabel("1000 K / T")
    ax.set_ylabel(f"D of {shown[0].species} (cm$^2$/s)")
    above = ax.secondary_xaxis("top", functions=(_kelvin, _kelvin))
    above.set_xlabel("T (K)")
    above.set_xticks(sorted(set(temperatures)), labels=[f"{T:g}" for T in sorted(set(temperatures))], fontsize="small")
    if title is not None:
        ax.set_title(title)
    ax.margins(x=0.16)
    ax.legend(loc="lower left", fontsize="small", frameon=False)
    return ax


def _log_error(point: ArrheniusPoint, confidence: float) -> NDArray[np.float64] | None:
    """[2, 1] Student's interval of ln D as lengths below and above D."""
    if not point.D_stderr_cm2_per_s:
        return None
    half = student_half_interval(confidence, point.dof) * min(point.ln_D_stderr, 1.0)
    D = point.D_cm2_per_s
    return np.array([[D * (1.0 - math.exp(-half))], [D * (math.exp(half) - 1.0)]])


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


def save_diffusion_plot(
    path: str | os.PathLike[str], result: ModelResult, *, title: str | None = None, dpi: int = 160
) -> None:
    """Write the four panels that D is judged by: MSD, local exponent, D against window start, spread of replicas.

    The suffix tells the format (png, pdf, svg). Needs no display.
    """
    figure = Figure(figsize=(11.0, 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).ravel()
    _draw_msd(panels[0], [result])
    plot_exponent(result, ax=panels[1])
    plot_window(result, ax=panels[2])
    plot_replicas(result, ax=panels[3])
    found = result.diffusion
    heading = f"{title or result.label}:  D = {_value(result)}, fit {found.fit_start_ps:.3g}-{found.fit_end_ps:.3g} ps"
    sentence = (
        f"{found.verdict}: {found.reason}".replace("+-", "±").replace("Angstrom^2", "Å²").replace("Angstrom", "Å")
    )
    figure.suptitle(heading + "\n" + textwrap.fill(sentence, 104), fontsize="medium")
    figure.savefig(os.fspath(path), dpi=dpi)


def save_arrhenius_plot(
    path: str | os.PathLike[str],
    fit: ArrheniusFit,
    *,
    at_K: Sequence[float] = (),
    title: str | None = None,
    dpi: int = 160,
) -> None:
    """Write `plot_arrhenius` to a file; its suffix tells the format (png, pdf, svg). Needs no display."""
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    plot_arrhenius(fit, ax=figure.add_subplot(), at_K=at_K, title=title)
    figure.savefig(os.fspath(path), dpi=dpi)


def _axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new pyplot figure."""
    if ax is not None:
        return ax
    _, new = pyplot.subplots(figsize=(6.4, 4.8), layout="constrained")
    return new


def _draw_msd(ax: Axes, results: Sequence[ModelResult]) -> None:
    """Mean MSDs with bands, fit windows and hop distance; labelled for a legend."""
    colours = _assign([result.architecture or result.label for result in results], _COLOURS)
    styles = _assign([result.functional or "" for result in results], _STYLES)
    for result, colour, style in zip(results, colours, styles, strict=True):
        mean, stderr = mean_over_replicas(result.msds, structures=result.diffusion.structures)
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


def _log_time(ax: Axes) -> None:
    """Times on a logarithmic axis as plain numbers."""
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.set_xlabel("time lag (ps)")


def _value(result: ModelResult) -> str:
    """``(1.2 ± 0.5)e-5 cm²/s (95 %, n = 4)``."""
    return result.diffusion.value_text.replace("+-", "±").replace("cm^2", "cm$^2$")


def _scale(D_cm2_per_s: float) -> tuple[float, str]:
    """What to multiply D by, and the unit that it then has."""
    power = math.floor(math.log10(abs(D_cm2_per_s))) if D_cm2_per_s else 0
    return 10.0**-power, f"$10^{{{power}}}$ cm$^2$/s"


def _error(half: float | None, power: float) -> float | None:
    return None if half is None else half * power


def _include_zero(ax: Axes) -> None:
    """A spread looks as large as it is beside D only where the axis starts at zero."""
    low, high = ax.get_ylim()
    ax.set_ylim(min(0.0, low), high + 0.25 * (high - min(0.0, low)))


def _kelvin(inverse: ArrayLike) -> NDArray[np.float64]:
    """1000 / T from T, and T from 1000 / T."""
    return np.asarray(1000.0 / np.maximum(np.asarray(inverse, dtype=np.float64), 1e-9))


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
    return f"{result.label}:  {_value(result)}, {found.fit_start_ps:.3g}-{found.fit_end_ps:.3g} ps: {found.verdict}"


def _shade_windows(ax: Axes, results: Sequence[ModelResult], *, text: bool = True) -> None:
    """Each different fit window once."""
    for start, end in dict.fromkeys((r.diffusion.fit_start_ps, r.diffusion.fit_end_ps) for r in results):
        ax.axvspan(start, end, color="0.5", alpha=0.10, linewidth=0, zorder=0)
        if not text:
            continue
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
