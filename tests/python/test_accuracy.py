"""Errors of predictions, and what two models resolve, against numbers by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms

from lpsmd.dataset import DatasetError
from lpsmd.models.accuracy import AccuracyError, EnergiesAndForces, difference_of, errors_of, fit_scale

POSITIONS = [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]]


def frame(formula="LiCl", **info):
    atoms = Atoms(formula, cell=[9, 9, 9], pbc=True)
    atoms.positions = POSITIONS[: len(atoms)]
    atoms.info = info
    return atoms


def on(energies, forces):
    return EnergiesAndForces(energies_eV=energies, forces_eV_per_A=[np.array(of_one, dtype=float) for of_one in forces])


def test_errors_by_hand():
    labels = on([-10.0, -12.0], [[[1, 0, 0], [-1, 0, 0]], [[0, 2, 0], [0, -2, 0]]])
    forces = [labels.forces_eV_per_A[0] + [[0.3], [0.6]], labels.forces_eV_per_A[1] + [[0.3], [0.6]]]
    errors = errors_of([frame(), frame()], on([-9.0, -11.4], forces), labels)
    assert errors["force_rms_eV_per_A"] == pytest.approx(np.sqrt((0.3**2 + 0.6**2) / 2))
    assert errors["zero_force_rms_eV_per_A"] == pytest.approx(np.sqrt(10 / 12))
    assert errors["by_element"]["Li"]["force_rms_eV_per_A"] == pytest.approx(0.3)
    assert errors["by_element"]["Cl"]["force_rms_eV_per_A"] == pytest.approx(0.6)
    assert errors["energy_rms_eV_per_atom"] == pytest.approx(np.sqrt((0.5**2 + 0.3**2) / 2))
    assert errors["energy_rms_after_constant_shift_eV_per_atom"] == pytest.approx(0.1)
    assert errors["mean_energy_rms_eV_per_atom"] == pytest.approx(0.5)
    assert "by_composition" not in errors
    assert errors["by_region"] == {}
    assert json.loads(json.dumps(errors)) == errors


def test_each_composition_has_its_own_shift():
    frames = [frame(), frame(), frame("Li2Cl2"), frame("Li2Cl2")]
    zero = [np.zeros((len(atoms), 3)) for atoms in frames]
    labels = on([-10.0, -12.0, -40.0, -40.0], zero)
    errors = errors_of(frames, on([-10.0, -12.0, -36.0, -36.0], zero), labels)
    assert errors["energy_rms_eV_per_atom"] == pytest.approx(np.sqrt(0.5))
    assert errors["energy_rms_after_constant_shift_eV_per_atom"] == pytest.approx(0.0)
    assert errors["mean_energy_rms_eV_per_atom"] == pytest.approx(np.sqrt(0.125))
    large = errors["by_composition"]["Cl2Li2"]
    assert (large["frames"], large["energy_rms_eV_per_atom"]) == (2, pytest.approx(1.0))


def test_regions_ascend_and_end_with_what_has_none():
    frames = [frame(temperature_K=1200.0), frame(), frame(temperature_K=600), frame(temperature_K=600.0)]
    zero = [np.zeros((2, 3))] * 4
    found = [np.full((2, 3), value) for value in (0.4, 0.1, 0.3, 0.1)]
    errors = errors_of(frames, on([2.0, 0.0, 0.0, 0.0], found), on([0.0] * 4, zero))
    region = errors["by_region"]["temperature_K"]
    assert list(region) == ["600", "1200", "not given"]
    assert region["600"]["frames"] == 2
    assert region["600"]["force_rms_eV_per_A"] == pytest.approx(np.sqrt(0.05))
    assert region["1200"]["energy_rms_eV_per_atom"] == pytest.approx(1.0)
    assert list(errors["by_region"]) == ["temperature_K"]


def test_what_does_not_fit_is_named():
    zero = [np.zeros((2, 3))]
    with pytest.raises(AccuracyError, match="found no frames"):
        errors_of([], on([], []), on([], []))
    with pytest.raises(AccuracyError, match="predictions for 1 frames, needed them for 2"):
        errors_of([frame(), frame()], on([0.0], zero), on([0.0, 0.0], zero * 2))
    with pytest.raises(AccuracyError, match=r"frame 0: found labels of shape \[1, 3\], needed \[2, 3\]"):
        errors_of([frame()], on([0.0], zero), on([0.0], [np.zeros((1, 3))]))


def test_difference_by_hand():
    frames = [frame(frame="a"), frame(frame="b")]
    labelled = [np.array([[0.1, 0, 0], [-0.4, 0, 0]]), np.array([[0, 0.1, 0], [0, -0.4, 0]])]
    # Li: nothing predicted; Cl: half of it.
    found = difference_of(frames, [values * [[0.0], [0.5]] for values in labelled], labelled)
    assert (found["frames"], found["groups"], found["scale"]) == (2, 2, None)
    lithium, chlorine = found["by_element"]["Li"], found["by_element"]["Cl"]
    assert lithium["difference_rms_eV_per_A"] == pytest.approx(0.1 / np.sqrt(3))
    assert lithium["error_rms_eV_per_A"] == lithium["difference_rms_eV_per_A"]
    assert (lithium["r2"], lithium["r2_error"]) == (0.0, 0.0)
    assert chlorine["r2"] == pytest.approx(0.75)
    assert found["r2"] == pytest.approx(1 - (0.01 + 0.04) / (0.01 + 0.16))
    assert found["scaled_error_rms_eV_per_A"] is None
    assert json.loads(json.dumps(found)) == found


def test_a_difference_that_is_a_factor_is_the_second_trivial_prediction():
    base = [np.array([[1.0, 0, 2.0], [-1.0, 0, -2.0]])]
    other = [1.03 * base[0]]
    scale = fit_scale(base, other)
    assert scale == pytest.approx(1.03)
    found = difference_of([frame(frame="a")], [0 * base[0]], [other[0] - base[0]], base=base, scale=scale)
    assert found["scaled_error_rms_eV_per_A"] == pytest.approx(0.0, abs=1e-12)
    assert found["r2"] == 0.0


def test_error_of_r2_is_over_groups_and_not_over_frames():
    """40 frames of two trajectories are no 40 observations."""
    rng = np.random.default_rng(3)
    labelled = [rng.normal(size=(2, 3)) for _ in range(40)]
    # One trajectory is predicted well, the other badly.
    predicted = [values * (0.9 if number < 20 else 0.1) for number, values in enumerate(labelled)]
    alone = [frame(frame=number) for number in range(40)]
    paired = [frame(frame=number, trajectory=number, start=number // 20) for number in range(40)]
    independent, of_two = difference_of(alone, predicted, labelled), difference_of(paired, predicted, labelled)
    assert independent["r2"] == of_two["r2"]
    assert of_two["groups"] == 2
    # Two groups of R^2 0.99 and 0.19, about 0.59: the standard error of the mean of two numbers 0.8 apart is 0.4.
    assert of_two["r2_error"] == pytest.approx(0.4, rel=0.1)
    assert independent["r2_error"] < 0.1
    single = difference_of([frame(frame=0, trajectory="t")] * 40, predicted, labelled)
    assert single["r2_error"] is None


@pytest.mark.parametrize("n_groups", [4, 12])
def test_error_of_r2_is_the_spread_over_sets_of_frames(n_groups):
    rng = np.random.default_rng(5)
    frames = [frame(frame=number) for number in range(n_groups)]
    found = []
    for _ in range(600):
        labelled = [scale * rng.normal(size=(2, 3)) for scale in rng.lognormal(0.0, 0.3, n_groups)]
        missed = rng.uniform(0.0, 1.0, n_groups)
        predicted = [(1.0 - part) * of_one for part, of_one in zip(missed, labelled, strict=True)]
        resolved = difference_of(frames, predicted, labelled)
        found.append((resolved["r2"], resolved["r2_error"]))
    r2, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(r2.std(), rel=0.15)


def test_equal_functionals_have_no_r2():
    zero = [np.zeros((2, 3))] * 2
    found = difference_of([frame(frame="a"), frame(frame="b")], zero, zero)
    assert (found["r2"], found["r2_error"]) == (None, None)


def test_groups_are_linked_over_several_keys():
    """Replicas of two models from one start are no two observations; a frame without a key is of no group."""
    rng = np.random.default_rng(7)
    frames = [
        frame(frame="a", start="s", trajectory="t"),
        frame(frame="b", trajectory="t"),
        frame(frame="c", start="s"),
    ]
    labelled = [rng.normal(size=(2, 3)) for _ in range(4)]
    assert difference_of([*frames, frame(frame="d")], labelled, labelled)["groups"] == 2
    with pytest.raises(DatasetError, match="frame 3: found the keys kind, needed start, trajectory or frame; give"):
        difference_of([*frames, frame(kind="md")], labelled, labelled)
