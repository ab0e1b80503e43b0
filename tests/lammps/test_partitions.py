"""Replicas with different models side by side under -partition: each is what it is when it runs alone."""

from __future__ import annotations

from pathlib import Path

from lpsmd.inputs import find_lammps_input
from support.parity import PARITY
from support.partitions import finish, run_partitions, start_alone, write_input

DATA = find_lammps_input("li6ps5cl.data")
MODELS = [PARITY / "deepmd_float64.pt", PARITY / "mace_float32.pt"]
STEPS = 5


def test_eight_partitions_with_two_models(tmp_path: Path) -> None:
    models = [MODELS[n % 2] for n in range(8)]
    for name in ("together", "alone"):
        (tmp_path / name).mkdir()
    run_partitions(write_input(tmp_path / "together", models, DATA, steps=STEPS), 8)
    script = write_input(tmp_path / "alone", models, DATA, steps=STEPS)
    for number in (1, 2):  # the others differ in their seeds only
        finish(start_alone(script, number, models[number - 1]))
    dumps = [(tmp_path / "together" / f"end.{number}.dump").read_text() for number in range(1, 9)]
    assert len(set(dumps)) == 8
    for number in (1, 2):
        assert dumps[number - 1] == (tmp_path / "alone" / f"end.{number}.dump").read_text()
