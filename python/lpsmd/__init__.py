"""Diffusion coefficients of ions in solids from machine-learned force fields.

Importing the package is cheap: LAMMPS imports `lpsmd.plugin` at every start. Heavy modules (numpy, torch) come
with the parts that need them: `lpsmd.analysis`, `lpsmd.models`, `lpsmd.study`, `lpsmd.ensemble`.
"""

from __future__ import annotations

from lpsmd.errors import LpsmdError

__all__ = ["LpsmdError", "__version__"]
__version__ = "0.1.0"
