"""Diffusion coefficients of ions in solids from machine-learned force fields.

    import lpsmd

    study = lpsmd.Study.load("study.toml")
    report = study.run("results")
    study.diffusion("results")["nequip_pbe-900K"].D_cm2_per_s

Importing the package is cheap: LAMMPS imports `lpsmd.plugin` at every start. Heavy modules (numpy, torch) come
with the parts that need them: `lpsmd.analysis`, `lpsmd.models`, `lpsmd.structure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lpsmd.errors import LpsmdError

if TYPE_CHECKING:
    from lpsmd.study import Study

__all__ = ["LpsmdError", "Study", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Study":
        from lpsmd.study import Study

        return Study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
