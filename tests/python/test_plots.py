"""What a reader must find on the MSD plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import image, pyplot
from matplotlib.axes import Axes

from lpsmd.analysis import (
    ModelResult,
    Msd,
    Verdict,
    arrhenius_fit,
    arrhenius_point,
    diffusion_coefficient,
    local_exponent,
    plot_alpha2,
    plot_arrhenius,
    plot_exponent,
    plot_msd,
    plot_replicas,
    plot_window,
    save_diffusion_plot,
    save_msd_plot,
    window_scan,
)
from lpsmd.errors import LpsmdError
from support.walks import walk_msd


def results(n_replicas: int = 4) -> list[ModelResult]:
    time_ps = 0.01 * np.arange(101)
    found = []
    for a, architecture in enumerate(("NequIP", "MACE", "DP")):
        for f, functional in enumerate(("PBE", "HSE06")):
            msds = tuple(
                Msd(
                    species="Li",
                    drift="none",
                    n_atoms=24,
                    n_frames=201,
                    duration_ps=2.0,
                    time_ps=time_ps,
                    msd_A2=slope * time_ps,
                    components_A2=np.repeat(slope * time_ps[:, None] / 3, 3, axis=1),
                    counts=24 * (201 - np.arange(101)),
                )
                for slope in (4 + a + f) * (1 + 0.1 * np.arange(n_replicas))
            )
            found.append(
                ModelResult(
                    label=f"{architecture} / {functional}",
                    architecture=architecture,
                    functional=functional,
                    msds=msds,
                    diffusion=diffusion_coefficient(msds),
                )
            )
    return found


def test_every_model_has_its_line_value_and_verdict() -> None:
    figure, ax = pyplot.subplots()
    six = results()
    assert plot_msd(six, ax=ax, title="900 K") is ax
    assert ax.get_xlabel() == "time lag (ps)"
    assert ax.get_ylabel() == "mean squared displacement of Li (Å$^2$)"
    assert ax.get_title() == "900 K"
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == 6
    for result, text in zip(six, texts, strict=True):
        assert text.startswith(result.label + ":  (")
        assert "±" in text
        assert "cm$^2$/s (95 %, n = 4), 0.2-1 ps: too short to judge" in text
    lines = ax.get_lines()[:6]
    assert len({line.get_color() for line in lines}) == 3
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 6
    np.testing.assert_allclose(lines[0].get_ydata()[-1], 4 * 1.15)
    assert "fit window" in [text.get_text() for text in ax.texts]
    pyplot.close(figure)


def test_axes_of_its_own_and_single_replica() -> None:
    ax = plot_msd(results(n_replicas=1))
    assert "(95 %, n = 1, independent ions)" in ax.get_legend().get_texts()[0].get_text()  # type: ignore[union-attr]
    pyplot.close("all")


def test_saved_plot_needs_no_display_and_leaves_nothing_open(tmp_path: Path) -> None:
    assert matplotlib.get_backend().lower() == "agg"
    save_msd_plot(tmp_path / "msd.png", results())
    picture = image.imread(tmp_path / "msd.png")
    assert picture.shape[0] > 800
    assert picture.std() > 0.05
    assert pyplot.get_fignums() == []


@pytest.fixture
def walked() -> ModelResult:
    """Six replicas of a random walk."""
    rng = np.random.default_rng(3)
    msds = tuple(walk_msd(rng.normal(0, 0.6, (161, 12, 3)).cumsum(axis=0)) for _ in range(6))
    return ModelResult(label="walk", msds=msds, diffusion=diffusion_coefficient(msds))


def texts_of(ax: Axes) -> str:
    legend = ax.get_legend()
    shown = [text.get_text() for text in ax.texts] + ([] if legend is None else [t.get_text() for t in legend.texts])
    return "\n".join(shown)


def test_exponent_plot(walked: ModelResult) -> None:
    ax = plot_exponent(walked)
    assert (ax.get_xlabel(), ax.get_xscale()) == ("time lag (ps)", "log")
    motion = walked.diffusion.motion
    assert f"over the window: {motion.exponent:.2f} ± {motion.exponent_half_interval:.2f}: diffusive" in texts_of(ax)
    times, exponents = local_exponent(walked.msds[0].time_ps, np.mean([msd.msd_A2 for msd in walked.msds], axis=0))
    (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) == len(times) > 2]
    np.testing.assert_allclose(line.get_ydata(), exponents)
    pyplot.close("all")


def test_window_plot(walked: ModelResult) -> None:
    ax = plot_window(walked)
    found = walked.diffusion
    assert ax.get_ylabel() == "D of Li ($10^{-4}$ cm$^2$/s)"
    assert f"chosen: {found.value_text}".replace("+-", "±").replace("cm^2", "cm$^2$") in texts_of(ax)
    assert str(found.verdict) in texts_of(ax)
    starts, values, _ = window_scan(walked.msds)
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), starts)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), 1e4 * values)
    assert ax.get_ylim()[0] == 0.0
    pyplot.close("all")


def test_replica_plot(walked: ModelResult) -> None:
    ax = plot_replicas(walked)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), 1e4 * np.sort(walked.diffusion.D_replicas_cm2_per_s))
    assert ax.get_lines()[1].get_ydata()[0] == pytest.approx(1e4 * walked.diffusion.D_cm2_per_s)
    assert "diffusive" in texts_of(ax)
    pyplot.close("all")


def test_alpha2_plot(walked: ModelResult) -> None:
    ax = plot_alpha2(walked)
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), np.mean([msd.alpha2 for msd in walked.msds], axis=0))
    pyplot.close("all")
    with pytest.raises(LpsmdError, match="found MSDs without alpha2, needed for its plot"):
        plot_alpha2(results()[0])


def test_four_panels_of_replicas_and_of_one_trajectory(walked: ModelResult, tmp_path: Path) -> None:
    one = ModelResult(label="one", msds=walked.msds[:1], diffusion=diffusion_coefficient(walked.msds[:1]))
    for result in (walked, one):
        save_diffusion_plot(tmp_path / "d.png", result, title="900 K")
        assert image.imread(tmp_path / "d.png").shape[:2] == (1312, 1760)
    assert pyplot.get_fignums() == []


def test_arrhenius_plot_names_every_verdict(walked: ModelResult) -> None:
    points = [
        replace(
            arrhenius_point(walked.diffusion, temperature_K=temperature_K),
            D_cm2_per_s=1e-2 * np.exp(-3000 / temperature_K),
            verdict=Verdict.TOO_SHORT if temperature_K == 500 else Verdict.DIFFUSIVE,
        )
        for temperature_K in (500.0, 600.0, 700.0, 800.0)
    ]
    ax = plot_arrhenius(arrhenius_fit(points), at_K=[300.0])
    shown = texts_of(ax)
    assert shown.count("diffusive") == 3
    assert "too short to judge, left out" in shown
    assert "D(300 K) = " in shown
    assert ax.get_yscale() == "log"
    pyplot.close("all")


def test_nothing_to_plot() -> None:
    with pytest.raises(LpsmdError, match="nothing to plot: found no result, at least one is needed"):
        plot_msd([])
