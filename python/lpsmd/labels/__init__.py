"""DFT labels for frames: PBE and HSE06 on the same geometry, by Quantum ESPRESSO's pw.x.

`label_frames` (driver) gives frames to threads, each of which waits for one pw.x (labelling, pw) in a folder with a
lock and records; `collection` makes the labelled sets out of the records. What is asked of pw.x is a file (recipe), its
pseudopotentials come from CP2K's (pseudopotentials).
"""

from __future__ import annotations

from lpsmd.labels.driver import Outcome, label_frames
from lpsmd.labels.errors import LabelError
from lpsmd.labels.recipe import FUNCTIONALS, Recipe, read_recipe

__all__ = ["FUNCTIONALS", "LabelError", "Outcome", "Recipe", "label_frames", "read_recipe"]
