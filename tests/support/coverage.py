"""How often the interval of an estimator holds the true D, over many synthetic ensembles."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lpsmd.analysis import Diffusion, DiffusionOptions, Msd, Verdict, diffusion_coefficient
from lpsmd.analysis.diffusion import CM2_PER_S_IN_A2_PER_PS
from support.ensembles import KINDS, Kind, msds_of

SIZES = (8, 30, 300)
N_FRAMES = 201
#: A single trajectory, long enough to be cut into blocks.
SINGLE_FRAMES = 801
N_BLOCKS = 8
LEVELS = (0.68, 0.95)
_BATCH = 50
#: The bootstrap is slow; a quarter of the ensembles gives its coverage to one per cent.
_BOOTSTRAP_SHARE = 4


@dataclass
class Tally:
    """What was found for one kind of motion, estimator and number of replicas."""

    kind: str
    estimator: str
    n_replicas: int
    true_D_A2_per_ps: float
    values: list[float] = field(default_factory=list)
    covered: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))
    verdicts: Counter[str] = field(default_factory=Counter)

    def add(self, found: Sequence[Diffusion]) -> None:
        """Count one ensemble, analysed at each of the `LEVELS`."""
        for level, diffusion in zip(LEVELS, found, strict=True):
            half = diffusion.D_half_interval_cm2_per_s
            assert half is not None
            error = diffusion.D_cm2_per_s / CM2_PER_S_IN_A2_PER_PS - self.true_D_A2_per_ps
            self.covered[level] += abs(error) <= half / CM2_PER_S_IN_A2_PER_PS
        self.values.append(found[-1].D_cm2_per_s / CM2_PER_S_IN_A2_PER_PS)
        self.verdicts[found[-1].verdict] += 1

    @property
    def n_ensembles(self) -> int:
        return len(self.values)

    def coverage(self, level: float) -> float:
        return self.covered[level] / self.n_ensembles

    @property
    def bias_standard_errors(self) -> float:
        """Mean error over the standard deviation of the ensembles' D, which is their true standard error."""
        return float((np.mean(self.values) - self.true_D_A2_per_ps) / np.std(self.values, ddof=1))

    @property
    def relative_standard_error(self) -> float:
        return float(np.std(self.values, ddof=1)) / self.true_D_A2_per_ps if self.true_D_A2_per_ps else math.nan

    def share(self, verdict: Verdict) -> float:
        return self.verdicts[verdict] / self.n_ensembles


def measure(
    name: str,
    n_ensembles: int,
    *,
    sizes: Sequence[int] = SIZES,
    estimators: Sequence[str] = ("brownian",),
    seed: int = 2026,
    on_ensemble: Callable[[], None] = lambda: None,
) -> list[Tally]:
    """Tallies of one kind of motion. The ensembles of a smaller size are parts of those of the largest.

    The seed of a kind is its own, so that kinds may be measured side by side.
    """
    kind = KINDS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    tallies = {
        (estimator, n): Tally(kind=name, estimator=estimator, n_replicas=n, true_D_A2_per_ps=kind.D_A2_per_ps)
        for estimator in estimators
        for n in sizes
        if n > 3 * 16 or estimator not in ("gls", "wls-ice")
    }
    for index in range(n_ensembles):
        msds = _ensemble(kind, rng, max(sizes))
        for (estimator, n), tally in tallies.items():
            if estimator != "bootstrap" or index % _BOOTSTRAP_SHARE == 0:
                tally.add([diffusion_coefficient(msds[:n], options) for options in _options(estimator)])
        on_ensemble()
    return list(tallies.values())


def measure_single(
    name: str, n_trajectories: int, *, seed: int = 2026, on_ensemble: Callable[[], None] = lambda: None
) -> Tally:
    """The tally of single trajectories, whose error comes from their blocks."""
    kind = KINDS[name]
    rng = np.random.default_rng([seed, 1, zlib.crc32(name.encode())])
    tally = Tally(kind=name, estimator="blocks", n_replicas=1, true_D_A2_per_ps=kind.D_A2_per_ps)
    for _ in range(n_trajectories):
        positions = kind.make(rng, 1, SINGLE_FRAMES)
        size = SINGLE_FRAMES // N_BLOCKS
        blocks = msds_of(positions[:, : N_BLOCKS * size].reshape(N_BLOCKS, size, *positions.shape[2:]))
        whole = msds_of(positions)
        tally.add([diffusion_coefficient(whole, options, blocks=blocks) for options in _options("brownian")])
        on_ensemble()
    return tally


def _ensemble(kind: Kind, rng: np.random.Generator, n: int) -> list[Msd]:
    """Made in batches that stay in the cache."""
    msds: list[Msd] = []
    while len(msds) < n:
        msds += msds_of(kind.make(rng, min(_BATCH, n - len(msds)), N_FRAMES))
    return msds


def _options(estimator: str) -> Iterator[DiffusionOptions]:
    for level in LEVELS:
        yield replace(DiffusionOptions(), estimator=estimator, confidence=level)  # type: ignore[arg-type]
