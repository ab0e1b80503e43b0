"""D, its interval and its verdict, on motions whose answer is known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lpsmd.analysis import (
    MSD_CSV_COLUMNS,
    DiffusionOptions,
    FrameworkCheck,
    FrameworkOptions,
    ModelResult,
    Msd,
    Verdict,
    analyse_replicas,
    check_framework,
    diffusion_coefficient,
    diffusion_to_dict,
    msd_rows,
    read_dump,
    window_scan,
    write_msd_csv,
)
from lpsmd.errors import LpsmdError
from lpsmd.text import fixed_with_error, format_with_error
from support.dumps import frame_text, rows_of, write_dump
from tolerances import MSD_RELATIVE, RANDOM_WALK_D_STANDARD_ERRORS

ELEMENTS = ["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Cl"] * 4
FRAME_PS = 0.01


def msd_of(values: np.ndarray, n_frames: int = 401) -> Msd:
    """An Msd with the given values, [L] lags."""
    return Msd(
        species="Li",
        drift="none",
        n_atoms=24,
        n_frames=n_frames,
        duration_ps=FRAME_PS * (n_frames - 1),
        time_ps=FRAME_PS * np.arange(len(values)),
        msd_A2=values,
        components_A2=np.repeat(values[:, None] / 3, 3, axis=1),
        counts=24 * (n_frames - np.arange(len(values))),
    )


def cell_with_tetrahedra() -> np.ndarray:
    """52 atoms in a box of 10 Angstrom: four PS4, one of them across the boundary."""
    base = np.random.default_rng(0).uniform(0, 10, (52, 3))
    corners = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    for p, centre in enumerate([[0.3, 2.5, 9.8], [7.5, 2.5, 5], [2.5, 7.5, 5], [7.5, 7.5, 5]]):
        base[24 + p] = centre
        base[28 + 4 * p : 32 + 4 * p] = centre + corners
    base[44:48] = [[5, 5, z] for z in (0, 2, 7, 9)]
    return base


def moving_cell(seed: int, *, n_frames: int = 401, D_A2_per_ps: float = 1.2) -> np.ndarray:
    """[F, 52, 3] in which Li walks at random and the rest vibrates."""
    rng = np.random.default_rng(seed)
    positions = cell_with_tetrahedra() + rng.normal(0, 0.05, (n_frames, 52, 3))
    step = np.sqrt(2 * D_A2_per_ps * FRAME_PS)
    positions[:, :24] += rng.normal(0, step, (n_frames, 24, 3)).cumsum(axis=0)
    return positions


def dumps(folder: Path, replicas: list[np.ndarray]) -> list[Path]:
    return [write_dump(folder / f"{i}.dump", x, ELEMENTS, interval=5) for i, x in enumerate(replicas)]


def test_units() -> None:
    # 6 Angstrom^2/ps is D = 1 Angstrom^2/ps = 1e-16 cm^2 / 1e-12 s
    line = 6.0 * FRAME_PS * np.arange(201)
    found = diffusion_coefficient([msd_of(line + 0.4), msd_of(line + 0.5)])
    assert found.D_cm2_per_s == pytest.approx(1e-4, rel=MSD_RELATIVE)
    assert found.D_half_interval_cm2_per_s == pytest.approx(0.0, abs=1e-14)
    assert (found.fit_start_ps, found.fit_end_ps) == pytest.approx((0.4, 2.0))


def test_student_interval() -> None:
    line = FRAME_PS * np.arange(201)
    slopes = np.array([5.0, 6.0, 7.5, 6.5])
    found = diffusion_coefficient([msd_of(slope * line) for slope in slopes])
    values = slopes / 6 * 1e-4
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert found.D_cm2_per_s == pytest.approx(values.mean())
    assert found.D_half_interval_cm2_per_s == pytest.approx((high - low) / 2)
    assert found.D_replicas_cm2_per_s == pytest.approx(values)
    assert found.exponent == pytest.approx(1.0)


def test_the_curves_alone_give_the_same_coefficient_and_share_their_lags() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.01, (4, 201))
    msds = [msd_of((6.0 + k) * FRAME_PS * np.arange(201) + noise[k] * (np.arange(201) > 0)) for k in range(4)]
    first = msds[0].curve()
    curves = [first, *(msd.curve(first) for msd in msds[1:])]
    assert diffusion_to_dict(diffusion_coefficient(curves)) == diffusion_to_dict(diffusion_coefficient(msds))
    assert all(curve.time_ps is first.time_ps for curve in curves)
    assert all(len(curve.components_A2) == 0 for curve in curves)
    longer = msd_of(np.arange(301.0))
    assert longer.curve(first).time_ps.tolist() == longer.time_ps.tolist()


def test_random_walk_from_dumps(tmp_path: Path) -> None:
    paths = dumps(tmp_path, [moving_cell(seed) for seed in range(8)])
    found = analyse_replicas([[path] for path in paths], species="Li", timestep_fs=2.0).diffusion
    assert found.D_half_interval_cm2_per_s is not None
    error = found.D_half_interval_cm2_per_s / stats.t.ppf(0.975, 7)
    assert abs(found.D_cm2_per_s - 1.2e-4) < RANDOM_WALK_D_STANDARD_ERRORS * error
    assert found.verdict is Verdict.DIFFUSIVE
    assert found.reason.startswith(f"local exponent {found.exponent:.2f} +- ")
    assert found.framework_checked


def noisy(mean: np.ndarray, spread: float, n: int = 4) -> list[Msd]:
    factors = 1.0 + spread * np.linspace(-1, 1, n)
    return [msd_of(mean * factor) for factor in factors]


TIME_PS = FRAME_PS * np.arange(201)
MOTIONS = {
    "diffusive": (
        12 * TIME_PS,
        0.1,
        Verdict.DIFFUSIVE,
        r"local exponent 1\.00 \+- .*, exponent with a free offset 1\.00 \+- .*, MSD 24\.0 Angstrom\^2",
    ),
    "ballistic": (
        10 * TIME_PS**2,
        0.1,
        Verdict.NOT_YET_DIFFUSIVE,
        r"the MSD is not straight, exponent with a free offset 2\.\d+ \+- .*, 1 is needed",
    ),
    "caged": (
        12 * (1 - np.exp(-TIME_PS / 0.5)) + 0.01 * TIME_PS,
        0.05,
        Verdict.NOT_YET_DIFFUSIVE,
        r"caged, local exponent 0\.\d+ \+- .*, 1 is needed \(MSD 12 Angstrom\^2 at the end of the window, one hop",
    ),
    "below a hop": (
        3 * TIME_PS,
        0.1,
        Verdict.TOO_SHORT,
        r"MSD 6\.0 Angstrom\^2 at the end of the window, one hop of 2\.9 Angstrom is 8\.4",
    ),
    "scattered": (12 * TIME_PS, 0.95, Verdict.TOO_SHORT, r"the interval of D includes zero, run longer"),
}


@pytest.mark.parametrize("motion", MOTIONS)
def test_verdicts(motion: str) -> None:
    mean, spread, verdict, reason = MOTIONS[motion]
    found = diffusion_coefficient(noisy(mean, spread))
    assert found.verdict is verdict
    assert re.search(reason, found.reason), found.reason
    assert found.reason.endswith("the framework was not checked")


def test_exponent_too_uncertain() -> None:
    curves = [6 * TIME_PS + 3 * TIME_PS ** (1 + shift) for shift in (-1, 2.5, -0.5, 2)]
    found = diffusion_coefficient([msd_of(curve) for curve in curves], DiffusionOptions(exponent_uncertainty=0.05))
    assert found.verdict is Verdict.TOO_SHORT
    assert "cannot tell caged from diffusive" in found.reason


def test_rattling_and_subdiffusion_must_be_told_apart() -> None:
    # the same mean, a line with an offset; replicas that differ in slope leave it a line, bent ones do not
    mean = 12 + 12 * TIME_PS
    straight = diffusion_coefficient([msd_of(mean * factor) for factor in (0.95, 1.0, 1.05)])
    assert straight.verdict is Verdict.DIFFUSIVE
    assert straight.offset_A2 == pytest.approx(12.0)
    bends = 1.5 * np.square(TIME_PS - 1.2)
    unclear = diffusion_coefficient([msd_of(mean + bend * bends) for bend in (-1.0, 0.0, 1.0)])
    assert unclear.verdict is Verdict.TOO_SHORT
    assert "cannot tell whether rattling or subdiffusion lowers it" in unclear.reason


def test_an_offset_must_show_beside_the_plain_exponent() -> None:
    # exponent 0.82 either way: a line with an offset is one, a power is not
    spread = np.linspace(-0.01, 0.01, 8)
    line = [msd_of((9 + 12 * TIME_PS) * (1 + s)) for s in spread]
    power = [msd_of(18 * np.maximum(TIME_PS, 1e-9) ** (0.84 + s)) for s in spread]
    assert diffusion_coefficient(line).verdict is Verdict.DIFFUSIVE
    found = diffusion_coefficient(power)
    assert found.verdict is not Verdict.DIFFUSIVE
    assert found.exponent == pytest.approx(0.84, abs=0.01)


def test_a_wide_cage_does_not_hide_a_straight_rise() -> None:
    # exponent below one half, and every ion has hopped
    found = diffusion_coefficient([msd_of(60 + (12 + s) * TIME_PS) for s in (-0.3, -0.1, 0.2, 0.2)])
    assert found.exponent < 0.45
    assert found.verdict is Verdict.DIFFUSIVE


def test_other_estimators_are_named_beside_D() -> None:
    msds = noisy(12 * TIME_PS, 0.1, n=4)
    assert "(95 %, n = 4)" in diffusion_coefficient(msds).value_text
    found = diffusion_coefficient(msds, DiffusionOptions(estimator="ols"))
    assert "(95 %, n = 4, ols, wrong error, for comparison only)" in str(found)
    assert found.is_comparison
    assert "(95 %, n = 4, bootstrap)" in diffusion_coefficient(msds, DiffusionOptions(estimator="bootstrap")).value_text


def test_a_trajectory_may_not_count_twice(tmp_path: Path) -> None:
    one, two = dumps(tmp_path, [moving_cell(1), moving_cell(2)])
    copy = tmp_path / "copy.dump"
    copy.write_bytes(one.read_bytes())
    with pytest.raises(LpsmdError, match=r"replica 2 .*copy\.dump.* has the very MSD of replica 0 .*0\.dump"):
        analyse_replicas([one, two, copy], species="Li", timestep_fs=2.0)


def test_log_spaced_frames(tmp_path: Path) -> None:
    """Frames at 0, 1, 2, 3, 5, 8, ... of each of twenty periods, as `dump_modify every` writes them."""
    inside = np.unique(np.round(np.geomspace(1, 39, 12)).astype(int))
    steps = np.concatenate([40 * period + np.r_[0, inside] for period in range(20)])
    replicas = []
    for seed in range(6):
        positions = moving_cell(seed, n_frames=801)[steps]
        frames = [frame_text(5 * int(step), rows_of(x, ELEMENTS)) for step, x in zip(steps, positions, strict=True)]
        replicas.append(tmp_path / f"{seed}.dump")
        replicas[-1].write_text("".join(frames))
    found = analyse_replicas(replicas, species="Li", timestep_fs=2.0).diffusion
    assert found.verdict is Verdict.DIFFUSIVE
    assert found.D_stderr_cm2_per_s is not None
    assert abs(found.D_cm2_per_s - 1.2e-4) < RANDOM_WALK_D_STANDARD_ERRORS * found.D_stderr_cm2_per_s


def test_too_few_events() -> None:
    few = [replace(msd, n_atoms=1) for msd in noisy(12 * TIME_PS, 0.05)]
    found = diffusion_coefficient(few)
    # four ions, 48 Angstrom^2 each in 4 ps
    assert found.n_hops == pytest.approx(4 * 48 / 2.9**2)
    assert found.verdict is Verdict.TOO_FEW_EVENTS
    assert found.reason.startswith("about 23 hops of 2.9 Angstrom in all, at least 30 are needed, run longer")


def test_the_window_starts_where_the_motion_is_diffusive() -> None:
    # out of the cage within 0.6 ps
    mean = 12 * TIME_PS + 8 * (1 - np.exp(-TIME_PS / 0.2))
    moved, fixed = (
        diffusion_coefficient(noisy(mean, 0.02), DiffusionOptions(latest_start_fraction=latest))
        for latest in (0.3, 0.1)
    )
    assert fixed.fit_start_ps == pytest.approx(0.4)
    assert fixed.verdict is Verdict.NOT_YET_DIFFUSIVE
    assert moved.fit_start_ps > 0.6
    assert moved.verdict is Verdict.DIFFUSIVE
    assert moved.D_cm2_per_s == pytest.approx(2e-4, rel=0.05)


def test_window_in_ps_is_taken_as_it_is() -> None:
    found = diffusion_coefficient(noisy(12 * TIME_PS**2, 0.02), DiffusionOptions(fit_ps=(0.5, 1.5)))
    assert (found.fit_start_ps, found.fit_end_ps) == pytest.approx((0.5, 1.5))
    with pytest.raises(LpsmdError, match=r"window ends at 5\.0 ps, the trajectory is 4\.0 ps long; .* best at half"):
        diffusion_coefficient(noisy(12 * TIME_PS, 0.1), DiffusionOptions(fit_ps=(1.0, 5.0)))
    with pytest.raises(LpsmdError, match=r"the fit window is 3 to 2 ps, 0 < start < end is needed"):
        DiffusionOptions(fit_ps=(3, 2))


def test_window_scan_of_a_line_is_flat() -> None:
    starts, values, errors = window_scan(noisy(12 * TIME_PS + 3.0, 0.1))
    assert starts[0] == pytest.approx(0.02)
    assert starts[-1] == pytest.approx(1.4)
    np.testing.assert_allclose(values, 2e-4, rtol=MSD_RELATIVE)
    np.testing.assert_allclose(errors, errors[0], rtol=1e-6)


def test_one_short_trajectory_takes_its_ions_as_independent() -> None:
    found = diffusion_coefficient([msd_of(12 * TIME_PS)])
    assert found.verdict is Verdict.TOO_SHORT
    assert found.error_from == "independent ions"
    assert "(95 %, n = 1, independent ions)" in str(found)
    assert found.reason.startswith("one trajectory too short for blocks does not tell how ions move together")


def test_one_trajectory_is_analysed_in_blocks(tmp_path: Path) -> None:
    (path,) = dumps(tmp_path, [moving_cell(3, n_frames=801)])
    short = analyse_replicas([path], species="Li", timestep_fs=2.0, options=DiffusionOptions(fit_ps=(0.05, 0.2)))
    assert (short.diffusion.error_from, short.diffusion.fit_end_ps) == ("blocks", pytest.approx(0.2))
    found = analyse_replicas([path], species="Li", timestep_fs=2.0).diffusion
    assert (found.error_from, found.n_replicas) == ("blocks", 1)
    assert found.D_stderr_cm2_per_s is not None
    assert abs(found.D_cm2_per_s - 1.2e-4) < RANDOM_WALK_D_STANDARD_ERRORS * found.D_stderr_cm2_per_s
    assert found.verdict is Verdict.DIFFUSIVE


def test_text_has_interval_window_and_verdict() -> None:
    found = diffusion_coefficient(noisy(3 * TIME_PS, 0.3))
    assert str(found) == (
        "D = (5 +- 2)e-5 cm^2/s (95 %, n = 4), fit 0.4-2.0 ps: too short to judge: MSD 6.0 Angstrom^2 at the "
        "end of the window, one hop of 2.9 Angstrom is 8.4, run longer; the framework was not checked"
    )


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.234e-5, 5.3e-6, "(1.2 +- 0.5)e-5"),
        (1.234e-5, 1.3e-6, "(1.23 +- 0.13)e-5"),
        (1.234e-5, 1.96e-6, "(1.2 +- 0.2)e-5"),
        (2e-6, 5e-5, "(0 +- 5)e-5"),
        (-1e-6, 3e-5, "(-0 +- 3)e-5"),
        (9.99e-5, 9e-7, "(9.99 +- 0.09)e-5"),
        (1.2e-5, None, "1.20e-5"),
        (0.0, 0.0, "(0 +- 0)"),
    ],
)
def test_format(value: float, error: float | None, text: str) -> None:
    assert format_with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.2345, 0.06, "1.23 ± 0.06"),
        (1.2345, 0.004, "1.2345 ± 0.0040"),
        (0.99674, 0.0002, "0.99674 ± 0.00020"),
        (1.2345, 0.0, "1.23 ± 0.00"),
        (1.2345, float("nan"), "1.23 ± nan"),
        (1.2345, None, "1.23"),
    ],
)
def test_fixed_decimals_follow_the_error(value: float, error: float | None, text: str) -> None:
    assert fixed_with_error(value, error, least=2) == text


def test_whole_framework(tmp_path: Path) -> None:
    trajectory = read_dump(dumps(tmp_path, [moving_cell(1)])[0])
    found = check_framework(trajectory, timestep_fs=2.0)
    assert found.broken_bonds == ()
    assert 2.05 < found.longest_bond_A < 2.6
    # two independent positions, three axes, four P about their own centre of mass
    assert found.msd.msd_A2[1:].mean() == pytest.approx(2 * 3 * 0.05**2 * 3 / 4, rel=0.05)


def broken_bond(start: int, stop: int) -> np.ndarray:
    """Atom 29 (S) leaves atom 25 (P) from frame `start` to `stop`."""
    positions = moving_cell(2)
    positions[start:stop, 28] += 1.5 * (positions[0, 28] - positions[0, 24])
    return positions


def test_broken_bond(tmp_path: Path) -> None:
    whole, broken = moving_cell(1), broken_bond(200, 300)
    found = analyse_replicas(dumps(tmp_path, [whole, broken]), species="Li", timestep_fs=2.0)
    assert found.diffusion.verdict is Verdict.FRAMEWORK_BROKEN
    assert found.diffusion.reason.startswith("replica 1: P-S bond of atoms 25 and 29 broke at 2.0 ps (")
    assert found.frameworks is not None
    assert [len(check.broken_bonds) for check in found.frameworks] == [0, 1]


@pytest.mark.parametrize(("frames", "broken"), [(10, False), (11, False), (12, True)])
def test_stretched_bond_is_not_broken(tmp_path: Path, frames: int, broken: bool) -> None:
    # 11 frames span 0.1 ps: longer than that is needed
    trajectory = read_dump(dumps(tmp_path, [broken_bond(200, 200 + frames)])[0])
    found = check_framework(trajectory, timestep_fs=2.0)
    assert bool(found.broken_bonds) is broken
    assert found.longest_bond_A > 2.8


def test_bond_broken_before_the_first_frame(tmp_path: Path) -> None:
    found = check_framework(read_dump(dumps(tmp_path, [broken_bond(0, 401)])[0]), timestep_fs=2.0)
    assert "P-S bond of atoms 25 and" in found.broken_bonds[0]
    assert "broke at 0.0 ps" in found.broken_bonds[0]


def framework_check(values: np.ndarray) -> FrameworkCheck:
    return FrameworkCheck(
        options=FrameworkOptions(),
        msd=replace(msd_of(values), species="P"),
        broken_bonds=(),
        longest_bond_A=2.3,
    )


def test_framework_that_moves() -> None:
    msds = noisy(12 * TIME_PS, 0.1)
    still = [framework_check(np.full(201, 0.3 + 0.01 * r)) for r in range(4)]
    assert diffusion_coefficient(msds, frameworks=still).verdict is Verdict.DIFFUSIVE
    far = [*still[:3], framework_check(np.full(201, 1.4))]
    found = diffusion_coefficient(msds, frameworks=far)
    assert (found.verdict, found.reason) == (
        Verdict.FRAMEWORK_BROKEN,
        "replica 3: MSD of P reaches 1.40 Angstrom^2, 1 is the limit",
    )
    rising = [framework_check((0.40 + 0.02 * r) * TIME_PS) for r in range(4)]
    found = diffusion_coefficient(msds, frameworks=rising)
    assert found.verdict is Verdict.FRAMEWORK_BROKEN
    assert found.reason.startswith("MSD of P does not level off: it rises by 0.43 +- 0.04 Angstrom^2/ps, beyond 1")


def test_errors(tmp_path: Path) -> None:
    good = msd_of(12 * TIME_PS)
    with pytest.raises(LpsmdError, match="found no replica, at least one MSD is needed"):
        diffusion_coefficient([])
    with pytest.raises(LpsmdError, match=r"replica 1 is 2\.0 ps long with 201 frames, replica 0 4\.0 ps with 401"):
        diffusion_coefficient([good, msd_of(12 * TIME_PS, 201)])
    with pytest.raises(LpsmdError, match=r"replica 1 is of S with drift 'none', replica 0 of Li"):
        diffusion_coefficient([good, replace(good, species="S")])
    with pytest.raises(LpsmdError, match=r"MSD goes up to a lag of 1\.0 ps, the fit window ends at 2\.0 ps; .*>= 0\.5"):
        diffusion_coefficient([msd_of(12 * TIME_PS[:101])])
    with pytest.raises(LpsmdError, match=r"fit window 0\.08-0\.09 ps holds 2 lags, at least 4 are needed"):
        diffusion_coefficient([good], DiffusionOptions(fit_start_fraction=0.02, fit_end_fraction=0.0225))
    with pytest.raises(LpsmdError, match=r"MSD of Li is zero in the fit window: the atoms do not move"):
        diffusion_coefficient([msd_of(0 * TIME_PS)])
    with pytest.raises(LpsmdError, match=r"found 1 framework checks for 2 replicas"):
        diffusion_coefficient([good, good], frameworks=[framework_check(0 * TIME_PS)])
    with pytest.raises(LpsmdError, match=r"the fit window is 0\.5 to 0\.1 of the length, 0 < start < end <= 1"):
        DiffusionOptions(fit_start_fraction=0.5, fit_end_fraction=0.1)
    with pytest.raises(LpsmdError, match=r"confidence is 95, a number from 0.01 to 0.999999"):
        DiffusionOptions(confidence=95)
    with pytest.raises(LpsmdError, match=r"hop_distance_A is 0\.0, a positive number is needed"):
        DiffusionOptions(hop_distance_A=0.0)
    trajectory = read_dump(dumps(tmp_path, [moving_cell(1, n_frames=5)])[0])
    with pytest.raises(LpsmdError, match=r"no atom of element 'Ge'; found Li, P, S, Cl"):
        check_framework(trajectory, timestep_fs=2.0, options=FrameworkOptions(bond=("Ge", "S")))
    with pytest.raises(LpsmdError, match=r"found 4 Cl, at least 6 are needed for the bonds of each P"):
        check_framework(trajectory, timestep_fs=2.0, options=FrameworkOptions(bond=("P", "Cl"), coordination=6))


def test_results_as_files(tmp_path: Path) -> None:
    msds = noisy(12 * TIME_PS, 0.1)
    found = diffusion_coefficient(msds)
    values = json.loads(json.dumps(diffusion_to_dict(found), allow_nan=False))
    assert values["D_cm2_per_s"] == found.D_cm2_per_s
    assert (values["verdict"], values["n_replicas"], values["text"]) == ("diffusive", 4, str(found))
    result = ModelResult(label="lj, PBE", msds=tuple(msds), diffusion=found)
    write_msd_csv(tmp_path / "msd.csv", [result, result])
    lines = (tmp_path / "msd.csv").read_text().splitlines()
    assert lines[0] == ",".join(MSD_CSV_COLUMNS)
    assert lines[0].startswith("model,time_ps,msd_A2,msd_stderr_A2,msd_x_A2,msd_y_A2,msd_z_A2,")
    assert len(lines) == 1 + 2 * 201
    row = list(msd_rows(result.msds))[100]
    assert row["msd_A2"] == pytest.approx(12.0)
    assert row["msd_stderr_A2"] == pytest.approx(12 * np.std([-0.1, -0.1 / 3, 0.1 / 3, 0.1], ddof=1) / 2)
    assert row["msd_x_A2"] == pytest.approx(4.0)
    single = ModelResult(label="lj", msds=(msds[0],), diffusion=found)
    assert next(msd_rows(single.msds))["msd_stderr_A2"] == ""


def test_window_and_exponents_do_not_hang_on_the_confidence_of_D() -> None:
    curves = [12 * TIME_PS + bend * np.square(TIME_PS) for bend in (0.2, 0.9, 1.6, 2.3)]
    msds = [msd_of(curve) for curve in curves]
    low, high = (diffusion_coefficient(msds, DiffusionOptions(confidence=level)) for level in (0.5, 0.99))
    assert (low.fit_start_ps, low.motion) == (high.fit_start_ps, high.motion)
    assert low.D_half_interval_cm2_per_s is not None
    assert high.D_half_interval_cm2_per_s is not None
    assert low.D_half_interval_cm2_per_s < high.D_half_interval_cm2_per_s


def test_no_atom_is_its_own_neighbour(tmp_path: Path) -> None:
    positions = np.repeat(np.array([[[0.0, 0, 0], [3, 0, 0], [0, 9, 0], [5, 5, 5]]]), 9, axis=0)
    path = write_dump(tmp_path / "a.dump", positions, ["S", "S", "S", "Li"], bounds=((0.0, 20.0),) * 3)
    options = FrameworkOptions(species="S", bond=("S", "S"), coordination=1, bond_limit_A=20.0)
    assert check_framework(read_dump(path), timestep_fs=2.0, options=options).longest_bond_A == pytest.approx(9.0)
    with pytest.raises(LpsmdError, match="found 3 S, at least 4 are needed for the bonds of each S"):
        check_framework(read_dump(path), timestep_fs=2.0, options=replace(options, coordination=3))
