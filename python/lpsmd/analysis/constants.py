"""The constants that define the SI since 2019, exact. scipy.constants has the same, but is slow to import."""

from __future__ import annotations

BOLTZMANN_J_PER_K = 1.380649e-23
ELEMENTARY_CHARGE_C = 1.602176634e-19
BOLTZMANN_EV_PER_K = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C
