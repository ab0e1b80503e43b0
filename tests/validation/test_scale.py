"""What a study of six models costs beside LAMMPS. The size of the reference protocol: `measure_scale.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scale import measure
from tolerances import DRIVER_MEMORY_MB, DRIVER_OVERHEAD


@pytest.mark.slow
def test_a_driver_costs_little_of_the_time_and_memory(tmp_path: Path) -> None:
    """Six models times 20 replicas of 10 s on 4 workers: 5 minutes, in which the start of the engine counts too."""
    found = measure(tmp_path / "study", replicas=20, workers=4, replica_s=10.0)
    print(found)
    assert found.overhead < DRIVER_OVERHEAD
    assert found.driver_MB < DRIVER_MEMORY_MB
