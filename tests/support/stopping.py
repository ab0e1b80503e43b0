"""Studies that stop at a target error: waves of replicas as `decide` asks for them, of ions whose D is known."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lpsmd.analysis import Action, Decision, Diffusion, Msd, StoppingRule, decide, diffusion_coefficient
from lpsmd.analysis.diffusion import CM2_PER_S_IN_A2_PER_PS
from support.coefficients import diffusion_of
from support.coverage import N_FRAMES
from support.ensembles import KINDS, msds_of

#: A maximum that no study meets.
_FAR = 100_000


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A study that has ended: every look with its number of replicas, and the coefficient of the last."""

    looks: tuple[tuple[int, Decision], ...]
    diffusion: Diffusion
    true_D_cm2_per_s: float

    @property
    def decision(self) -> Decision:
        return self.looks[-1][1]

    @property
    def n_replicas(self) -> int:
        return self.looks[-1][0]

    @property
    def is_covered(self) -> bool:
        """By the interval that is corrected for looking."""
        half = self.decision.D_half_interval_cm2_per_s
        assert half is not None
        return abs(self.diffusion.D_cm2_per_s - self.true_D_cm2_per_s) <= half

    @property
    def is_covered_as_it_is(self) -> bool:
        """By the interval of the coefficient."""
        half = self.diffusion.D_half_interval_cm2_per_s
        assert half is not None
        return abs(self.diffusion.D_cm2_per_s - self.true_D_cm2_per_s) <= half

    @property
    def was_foreseen(self) -> bool:
        """Whether the number at the stop lies in the interval predicted at the look nearest to its half."""
        _, halfway = min(self.looks, key=lambda look: abs(look[0] - 0.5 * self.n_replicas))
        assert halfway.predicted_low is not None
        assert halfway.predicted_high is not None
        return halfway.predicted_low <= self.n_replicas <= halfway.predicted_high


def run_study(
    analyse: Callable[[int], Diffusion], rule: StoppingRule, *, true_D_cm2_per_s: float, n_structures: int = 1
) -> Stopped:
    """Wave by wave until the end; `analyse` gives the coefficient of the first n replicas."""
    n = decide(None, rule, n_complete=0, n_structures=n_structures).n_replicas
    looks: list[tuple[int, Decision]] = []
    while True:
        found = analyse(n)
        decision = decide(found, rule, n_complete=n, n_structures=n_structures)
        looks.append((n, decision))
        if not decision.goes_on:
            return Stopped(looks=tuple(looks), diffusion=found, true_D_cm2_per_s=true_D_cm2_per_s)
        n = decision.n_replicas


def motion_study(kind: str, seed: Sequence[int], rule: StoppingRule) -> Stopped:
    """Replicas of synthetic ions through the whole analysis."""
    motion = KINDS[kind]
    rng = np.random.default_rng([zlib.crc32(kind.encode()), *seed])
    msds: list[Msd] = []

    def analyse(n: int) -> Diffusion:
        while len(msds) < n:
            msds.extend(msds_of(motion.make(rng, min(50, n - len(msds)), N_FRAMES)))
        return diffusion_coefficient(msds)

    return run_study(analyse, rule, true_D_cm2_per_s=motion.D_A2_per_ps * CM2_PER_S_IN_A2_PER_PS)


def needed_spread(n: int, target: float) -> float:
    """The relative spread of replicas whose interval is on target with n of them."""
    return target * math.sqrt(n) / float(special.stdtrit(n - 1, 0.975))


def drawn_studies(
    n_studies: int, n_needed: int, *, target: float = 0.05, skewed: bool = False, seed: int = 1
) -> list[Stopped]:
    """Studies of numbers drawn one for each replica, normal or skewed (gamma), that need about `n_needed`."""
    rule = StoppingRule(target_relative_error=target, maximum_replicas=_FAR)
    spread = needed_spread(n_needed, target)
    rng = np.random.default_rng([seed, n_needed, skewed])

    def draw(n: int) -> NDArray[np.float64]:
        if skewed:
            return rng.gamma(spread**-2, spread**2, n)
        return 1.0 + spread * rng.standard_normal(n)

    def study() -> Stopped:
        values = np.empty(0)

        def analyse(n: int) -> Diffusion:
            nonlocal values
            values = np.concatenate([values, draw(n - len(values))])
            return diffusion_of(values)

        return run_study(analyse, rule, true_D_cm2_per_s=1.0)

    return [study() for _ in range(n_studies)]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of studies that reached their target."""

    n_studies: int
    reached: float
    covered: float
    covered_as_it_is: float
    foreseen: float
    mean_replicas: float
    mean_looks: float

    @classmethod
    def of(cls, studies: Sequence[Stopped]) -> Shares:
        reached = [study for study in studies if study.decision.action is Action.TARGET_REACHED]
        return cls(
            n_studies=len(studies),
            reached=len(reached) / len(studies),
            covered=float(np.mean([study.is_covered for study in reached])),
            covered_as_it_is=float(np.mean([study.is_covered_as_it_is for study in reached])),
            foreseen=float(np.mean([study.was_foreseen for study in reached])),
            mean_replicas=float(np.mean([study.n_replicas for study in reached])),
            mean_looks=float(np.mean([len(study.looks) for study in reached])),
        )

    def __str__(self) -> str:
        return (
            f"{self.n_studies} studies: reached {self.reached:.1%}, covered {self.covered:.2%} (as it is "
            f"{self.covered_as_it_is:.2%}), foreseen {self.foreseen:.1%}, {self.mean_replicas:.1f} replicas in "
            f"{self.mean_looks:.2f} looks"
        )
