"""Mean squared displacements of any MDAnalysis Universe. Importing this module imports MDAnalysis, which is slow."""

from __future__ import annotations

from typing import Any

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.analysis.msd import check_max_lag_fraction, lag_steps_up_to, msd_from_sums, summed
from lpsmd.errors import LpsmdError

#: Of an `Msd`, the same here.
_RESULTS = (
    "time_ps",
    "msd_A2",
    "components_A2",
    "tensor_A2",
    "collective_A2",
    "collective_tensor_A2",
    "alpha2_time_ps",
    "alpha2",
    "counts",
    "n_atoms",
)


class MeanSquaredDisplacement(AnalysisBase):  # type: ignore[misc]
    r"""Mean squared displacement of the atoms of a selection, over all time origins.

    The estimator is that of `lpsmd.analysis.mean_squared_displacement`; frames come from whatever MDAnalysis
    reads (XTC, DCD, XDATCAR, H5MD ...). Only the positions of the selection and of the reference are kept.
    MDAnalysis holds positions in float32: 100 Angstrom from the origin they are known to 4e-6 Angstrom::

        universe = MDAnalysis.Universe("topology.pdb", "trajectory.xtc")
        msd = MeanSquaredDisplacement(universe, select="element Li", reference="element P S Cl", unwrap=True).run()
        plt.plot(msd.results.time_ps, msd.results.msd_A2)

    Parameters
    ----------
    universe
        A Universe or an AtomGroup.
    select
        Atoms to follow, in MDAnalysis' selection language.
    reference
        Atoms whose mass-weighted mean displacement is taken off; None for no correction. Their masses must be
        known to the Universe.
    max_lag_fraction
        Longest lag as a part of the frames analysed, above 0 and at most 1.
    unwrap
        Take each step to the nearest image, in the cell of its frame (the displacement scheme of von Buelow,
        Bullerjahn and Hummer [1]_, right for a changing cell too). Without it positions must be unwrapped.
    collective
        Also the collective displacement.
    threads
        The atoms are split over.
    verbose
        Show MDAnalysis' progress bar.

    Attributes
    ----------
    results.time_ps
        [L] lag.
    results.msd_A2, results.components_A2, results.tensor_A2
        [L], [L, 3], [L, 3, 3] mean squared displacement, its parts and the mean of the products of components.
    results.collective_A2, results.collective_tensor_A2
        [L], [L, 3, 3] mean of the squared sum of all displacements over the number of atoms; None if not wanted.
    results.alpha2_time_ps, results.alpha2
        [Q] log-spaced lags, non-Gaussian parameter.
    results.counts
        [L] windows times atoms.
    results.n_atoms
        Atoms averaged over.

    Raises
    ------
    LpsmdError
        If a selection is empty, there are fewer than two frames, times do not go with the numbers of the frames,
        or, with `unwrap`, if there is no cell or a step exceeds a third of it along one of its vectors, as in dumps.

    References
    ----------
    .. [1] von Buelow, Bullerjahn, Hummer 2020, doi:10.1063/5.0008316
    """

    def __init__(
        self,
        universe: Any,
        *,
        select: str = "all",
        reference: str | None = None,
        max_lag_fraction: float = 0.5,
        unwrap: bool = False,
        collective: bool = True,
        threads: int = 1,
        verbose: bool = False,
    ) -> None:
        super().__init__(universe.universe.trajectory, verbose=verbose)
        check_max_lag_fraction(max_lag_fraction)
        self._moving = _select(universe, select)
        self._reference = None if reference is None else _select(universe, reference)
        self._select = select
        self._atoms = self._moving if self._reference is None else self._moving | self._reference
        self._max_lag_fraction = max_lag_fraction
        self._unwrap = unwrap
        self._collective = collective
        self._threads = threads

    def _prepare(self) -> None:
        if self.n_frames < 2:
            raise LpsmdError(f"found {self.n_frames} frame, at least 2 are needed for a displacement")
        self._positions = np.empty((self.n_frames, len(self._atoms), 3))
        self._cells = np.empty((self.n_frames, 3, 3))

    def _single_frame(self) -> None:
        self._positions[self._frame_index] = self._atoms.positions
        if self._unwrap:
            box = self._ts.dimensions
            if box is None or not np.all(box[:3] > 0):
                raise LpsmdError(f"frame {self._ts.frame} has no cell, which unwrap needs: give unwrapped positions")
            self._cells[self._frame_index] = self._ts.triclinic_dimensions

    def _conclude(self) -> None:
        frames = self.frames.astype(np.int64)
        frame_ps = float((self.times[-1] - self.times[0]) / (frames[-1] - frames[0]))
        expected = self.times[0] + frame_ps * (frames - frames[0])
        if not np.allclose(self.times, expected, rtol=0.0, atol=1e-3 * abs(frame_ps)):
            raise LpsmdError(
                "the times of the frames are not equally spaced in the file, which the MSD needs: choose frames that "
                "are with run(start=, stop=, step=)"
            )
        positions = self._positions
        if self._unwrap:
            name = f"{self._trajectory.filename or 'trajectory'} (frames and atoms counted among those analysed)"
            positions = _core.unwrap(name, positions, self._cells, (True, True, True), nearest=True)
        selection = np.searchsorted(self._atoms.indices, np.unique(self._moving.indices)).astype(np.int64)
        tracer, together = summed(
            positions,
            frames,
            lag_steps=lag_steps_up_to(frames, self._max_lag_fraction),
            selection=selection,
            weights=self._drift_weights(),
            collective=self._collective,
            alpha2=True,
            threads=self._threads,
        )
        msd = msd_from_sums(
            tracer,
            together,
            species=self._select,
            drift="none" if self._reference is None else "framework",
            reference=(),
            n_atoms=len(selection),
            n_frames=self.n_frames,
            duration_steps=int(frames[-1] - frames[0]),
            step_fs=1000.0 * frame_ps,
            volume_A3=float("nan"),
        )
        for name in _RESULTS:
            setattr(self.results, name, getattr(msd, name))

    def _drift_weights(self) -> NDArray[np.float64]:
        """[N] masses of the reference's atoms, zero elsewhere; empty without a reference."""
        if self._reference is None:
            return np.empty(0)
        weights = np.zeros(len(self._atoms))
        weights[np.searchsorted(self._atoms.indices, self._reference.indices)] = self._reference.masses
        return weights


def _select(universe: Any, selection: str) -> Any:
    atoms = universe.select_atoms(selection)
    if len(atoms) == 0:
        raise LpsmdError(f"selection '{selection}' has no atom, at least one is needed")
    return atoms
