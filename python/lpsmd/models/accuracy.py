"""How far predicted energies and forces are from labels, and what two models resolve of two functionals.

Needs numpy, scipy and ASE alone: it runs in the environments of the trainers as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd.dataset.keys import groups_of
from lpsmd.errors import LpsmdError

FloatArray = NDArray[np.float64]

#: Keys of `Atoms.info` by which errors are told apart.
REGIONS = ("kind", "temperature_K", "inversion", "volume_strain")
#: Where a frame has no such key.
NOT_GIVEN = "not given"
#: Models of two functionals tell these apart where they explain this fraction of the squared difference of the forces.
RESOLVED_R2 = 0.5


#: Positions and cells of one geometry agree to this, Angstrom; files have eight decimals.
_SAME_A = 1e-4


class AccuracyError(LpsmdError):
    """Predictions and labels that cannot be compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergiesAndForces:
    """What a model predicts for frames, or what they are labelled with.

    Attributes
    ----------
    energies_eV
        [frames].
    forces_eV_per_A
        [atoms, 3] for each frame.
    """

    energies_eV: Sequence[float]
    forces_eV_per_A: Sequence[FloatArray]

    def of(self, frames: Sequence[int]) -> EnergiesAndForces:
        """Those of some frames, by their indices."""
        return EnergiesAndForces(
            energies_eV=[self.energies_eV[index] for index in frames],
            forces_eV_per_A=[self.forces_eV_per_A[index] for index in frames],
        )


#: Of two functionals, on the same frames.
OfBoth = tuple[EnergiesAndForces, EnergiesAndForces]


def rms(values: FloatArray) -> float:
    """Root of the mean square of all components."""
    return float(np.sqrt(np.mean(np.square(values))))


def can_subtract_forces(first: Atoms, second: Atoms) -> bool:
    """Whether the same atoms stand in the same order on the same places of one cell, in one orientation."""
    if first.get_chemical_symbols() != second.get_chemical_symbols():
        return False
    pairs = ((first.positions, second.positions), (first.cell.array, second.cell.array))
    return all(np.allclose(one, other, rtol=0.0, atol=_SAME_A) for one, other in pairs)


def errors_of(frames: Sequence[Atoms], predicted: EnergiesAndForces, labelled: EnergiesAndForces) -> dict[str, Any]:
    """Errors of predictions on labelled frames, in eV, eV/Angstrom and eV/atom.

    Parameters
    ----------
    frames
        Their elements, and the keys of `REGIONS` in `Atoms.info` where they have them.
    predicted, labelled
        On these frames.

    Returns
    -------
    dict
        JSON-ready. The rms of force components beside that of predicting no force, for all atoms and `by_element`.
        The rms of energies as they are, after the best constant shift of each composition, and of predicting each
        composition's mean; `by_composition` the same for each where there are several. `by_region` has for each key of
        `REGIONS` that a frame has: value, and for it the frames, force and energy errors.

    Raises
    ------
    AccuracyError
        If there is no frame, or numbers of frames or atoms differ.
    """
    _require_same_shapes(frames, predicted.forces_eV_per_A, "predictions")
    _require_same_shapes(frames, labelled.forces_eV_per_A, "labels")
    forces = np.concatenate(labelled.forces_eV_per_A)
    forces_off = np.concatenate(predicted.forces_eV_per_A) - forces
    sizes = np.array([len(atoms) for atoms in frames])
    energies = np.asarray(labelled.energies_eV) / sizes
    energies_off = np.asarray(predicted.energies_eV) / sizes - energies
    frame_of_atom, symbols = np.repeat(np.arange(len(frames)), sizes), _symbols(frames)
    compositions = _grouped([atoms.get_chemical_formula() for atoms in frames])

    def force_errors(chosen: NDArray[np.bool_]) -> dict[str, float]:
        return {"force_rms_eV_per_A": rms(forces_off[chosen]), "zero_force_rms_eV_per_A": rms(forces[chosen])}

    def energy_errors(members: Collection[list[int]]) -> dict[str, float]:
        return {
            "energy_rms_eV_per_atom": rms(np.concatenate([energies_off[indices] for indices in members])),
            "energy_rms_after_constant_shift_eV_per_atom": rms(_without_means(energies_off, members)),
            "mean_energy_rms_eV_per_atom": rms(_without_means(energies, members)),
        }

    def region_errors(members: list[int]) -> dict[str, float]:
        energy_rms = rms(energies_off[members])
        return {**force_errors(np.isin(frame_of_atom, members)), "energy_rms_eV_per_atom": energy_rms}

    every_atom = np.ones(len(symbols), dtype=bool)
    found: dict[str, Any] = {"frames": len(frames), **force_errors(every_atom), **energy_errors(compositions.values())}
    if len(compositions) > 1:
        found["by_composition"] = {
            formula: {"frames": len(members), **energy_errors([members])} for formula, members in compositions.items()
        }
    found["by_element"] = {name: force_errors(symbols == name) for name in np.unique(symbols).tolist()}
    found["by_region"] = {
        key: {
            value: {"frames": len(members), **region_errors(members)} for value, members in _region(frames, key).items()
        }
        for key in REGIONS
        if any(key in atoms.info for atoms in frames)
    }
    return found


def fit_scale(base: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """The factor s of least |other - s base|^2 over all components: forces of one functional from those of another."""
    first, second = np.concatenate(base), np.concatenate(other)
    return float(np.sum(first * second) / np.sum(first * first))


def difference_of(
    frames: Sequence[Atoms],
    predicted: Sequence[FloatArray],
    labelled: Sequence[FloatArray],
    *,
    base: Sequence[FloatArray] | None = None,
    scale: float | None = None,
) -> dict[str, Any]:
    """What two models resolve of the difference of two functionals, such as F_HSE06 - F_PBE on the same geometries.

    R^2 = 1 - sum (predicted - labelled)^2 / sum labelled^2. The sum of squares is about zero, not about the mean:
    components of forces have no direction of their own, and so R^2 = 0 is exactly the trivial prediction that the
    functionals do not differ. Its standard error comes from the jackknife (Tukey 1958) over groups of frames
    (`lpsmd.dataset.keys.groups_of`), as frames of a trajectory are not independent; the bootstrap's is too small for
    few groups.

    Parameters
    ----------
    frames
        With `info['frame']`, and `start` or `trajectory` where they have one.
    predicted, labelled
        Differences of the forces, eV/Angstrom, [atoms, 3] for each frame.
    base, scale
        Labelled forces of the first functional, and the factor of `fit_scale` from other frames, for a second trivial
        prediction: that the functionals differ by this factor.

    Returns
    -------
    dict
        JSON-ready: `frames`, `groups`, and for all atoms and `by_element` the rms of the labelled difference (which is
        the error of predicting none), the rms error of the predicted one, of the scaled one (None without `scale`),
        and `r2` with `r2_error` (None for one group, or where the functionals do not differ).

    Raises
    ------
    AccuracyError
        If there is no frame, or numbers of atoms differ.
    DatasetError
        If a frame has neither start, trajectory nor name.
    """
    _require_same_shapes(frames, predicted, "predicted differences")
    _require_same_shapes(frames, labelled, "labelled differences")
    groups, group_of_frame = np.unique(groups_of(frames), return_inverse=True)
    group_of_atom = np.repeat(group_of_frame, [len(atoms) for atoms in frames])
    wanted = np.concatenate(labelled)
    off = np.concatenate(predicted) - wanted
    scaled_off = None if base is None or scale is None else (scale - 1.0) * np.concatenate(base) - wanted

    def resolved(chosen: NDArray[np.bool_]) -> dict[str, float | None]:
        r2, error = _r2(off[chosen], wanted[chosen], group_of_atom[chosen])
        return {
            "difference_rms_eV_per_A": rms(wanted[chosen]),
            "error_rms_eV_per_A": rms(off[chosen]),
            "scaled_error_rms_eV_per_A": None if scaled_off is None else rms(scaled_off[chosen]),
            "r2": r2,
            "r2_error": error,
        }

    symbols = _symbols(frames)
    return {
        "frames": len(frames),
        "groups": len(groups),
        "scale": scale,
        **resolved(np.ones(len(symbols), dtype=bool)),
        "by_element": {name: resolved(symbols == name) for name in np.unique(symbols).tolist()},
    }


def difference_of_functionals(
    frames: Sequence[Atoms], *, predicted: OfBoth, labelled: OfBoth, training: OfBoth | None = None
) -> dict[str, Any]:
    """`difference_of` for two functionals: what their models predict of labels that both have.

    Parameters
    ----------
    frames
        As in `difference_of`.
    predicted, labelled
        Of the first functional and of the second, on these frames.
    training
        Labels of both on other frames, which the factor of `fit_scale` is from.
    """
    base, _ = labelled
    scale = None if training is None else fit_scale(*(of_one.forces_eV_per_A for of_one in training))
    return difference_of(frames, _minus(predicted), _minus(labelled), base=base.forces_eV_per_A, scale=scale)


def _minus(pair: OfBoth) -> list[FloatArray]:
    """The second's forces less the first's, [atoms, 3] for each frame."""
    first, second = (of_one.forces_eV_per_A for of_one in pair)
    return [np.subtract(other, base) for base, other in zip(first, second, strict=True)]


def _r2(off: FloatArray, wanted: FloatArray, group_of_atom: NDArray[np.int64]) -> tuple[float | None, float | None]:
    """R^2 about zero and its standard error by the jackknife; None where there is nothing to explain."""
    members = [group_of_atom == group for group in np.unique(group_of_atom)]
    left, total = (np.array([np.square(values[rows]).sum() for rows in members]) for values in (off, wanted))
    if not total.sum() > 0.0:
        return None, None
    r2 = float(1.0 - left.sum() / total.sum())
    rest = total.sum() - total
    if not (rest > 0.0).all():
        return r2, None
    without = 1.0 - (left.sum() - left) / rest
    return r2, float(np.sqrt((len(members) - 1) * np.var(without)))


def _require_same_shapes(frames: Sequence[Atoms], arrays: Sequence[FloatArray], what: str) -> None:
    if not frames:
        raise AccuracyError("found no frames, needed one at least")
    if len(arrays) != len(frames):
        raise AccuracyError(f"found {what} for {len(arrays)} frames, needed them for {len(frames)}")
    for number, (atoms, array) in enumerate(zip(frames, arrays, strict=True)):
        if np.shape(array) != (len(atoms), 3):
            raise AccuracyError(
                f"frame {number}: found {what} of shape {list(np.shape(array))}, needed [{len(atoms)}, 3]"
            )


def _symbols(frames: Sequence[Atoms]) -> NDArray[np.str_]:
    """The element of every atom, frame after frame."""
    return np.concatenate([np.array(atoms.get_chemical_symbols()) for atoms in frames])


def _grouped(keys: Sequence[str]) -> dict[str, list[int]]:
    """Indices of each key, in the order of its first."""
    members: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    return members


def _region(frames: Sequence[Atoms], key: str) -> dict[str, list[int]]:
    """Indices of the frames of each value of a key, values ascending, those without it last."""
    values = {index: atoms.info[key] for index, atoms in enumerate(frames) if key in atoms.info}
    ordered = sorted(values, key=lambda index: values[index])
    without = [index for index in range(len(frames)) if index not in values]
    names = [v if isinstance(v := values[index], str) else f"{v:g}" for index in ordered]
    grouped = {name: [ordered[place] for place in places] for name, places in _grouped(names).items()}
    return {**grouped, NOT_GIVEN: without} if without else grouped


def _without_means(values: FloatArray, members: Collection[list[int]]) -> FloatArray:
    """Values less the mean of their group, group after group."""
    return np.concatenate([values[indices] - values[indices].mean() for indices in members])
