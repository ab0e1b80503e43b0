"""Settings of all tests: one thread, as replicas that share cores run."""

from __future__ import annotations

import os

pytest_plugins = ["support.resume"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
