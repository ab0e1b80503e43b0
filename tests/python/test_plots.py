"""What a reader must find on the MSD plot."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import image, pyplot

from lpsmd.analysis import ModelResult, Msd, diffusion_coefficient, plot_msd, save_msd_plot
from lpsmd.errors import LpsmdError


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


def test_nothing_to_plot() -> None:
    with pytest.raises(LpsmdError, match="nothing to plot: found no result, at least one is needed"):
        plot_msd([])
