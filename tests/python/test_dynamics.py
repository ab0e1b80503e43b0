"""What a study file says of the motion, in LAMMPS: ensembles, thermostats, the barostat, and what is dumped."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lpsmd.analysis import DiffusionOptions, analyse_replica, read_dump
from lpsmd.ensemble.claim import claim
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.product import LogRun, last_run
from lpsmd.ensemble.replicas import Plan, Replica
from lpsmd.ensemble.worker import ReplicaState, run_replica
from lpsmd.study_file import load_study
from support.studies import STUDY, study_file
from tolerances import BAROSTAT_RELATIVE, ENSEMBLE_TEMPERATURE_K, NVE_OVER_NVT_ENERGY

TIMESTEP_FS = 2.0


def run(folder: Path, dynamics: str) -> tuple[Plan, Replica]:
    """One replica of a study with these lines in [dynamics], run without an engine."""
    text = STUDY.replace("chunk_ps = 0.2", "chunk_ps = 0.4\n" + dynamics)
    output = folder / "out"
    output.mkdir()
    plan = claim(load_study(study_file(folder, text)), output)
    replica = plan.replicas(plan.study.conditions[0], 1)[0]
    end = run_replica(task_of(plan, replica))
    assert end.state is ReplicaState.COMPLETE, end.failure
    return plan, replica


def thermo(replica: Replica) -> LogRun:
    """Of the production."""
    found = last_run(replica.file(1, "log").read_text())
    assert found is not None
    return found


def dump_text(replica: Replica) -> str:
    return gzip.decompress(replica.file(1, "dump.gz").read_bytes()).decode()


def boxes(replica: Replica) -> np.ndarray:
    """[F, 3] lengths of the dumped boxes in Angstrom."""
    frames = dump_text(replica).split("ITEM: BOX BOUNDS pp pp pp\n")[1:]
    bounds = np.array([[line.split() for line in frame.splitlines()[:3]] for frame in frames], dtype=float)
    return bounds[..., 1] - bounds[..., 0]


ENSEMBLES = {
    "nvt": "",
    "nve": 'ensemble = "nve"',
    "nvt_langevin": 'thermostat = "langevin"\ndamping_ps = 0.05',
    "npt": 'ensemble = "npt"\nbarostat_damping_ps = 0.1\npressure_bar = 3000.0',
    "npt_langevin": 'ensemble = "npt"\nthermostat = "langevin"\nbarostat_damping_ps = 0.1\npressure_bar = 30000.0',
}


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Replica]:
    """A replica in each ensemble."""
    return {name: run(tmp_path_factory.mktemp(name), dynamics)[1] for name, dynamics in ENSEMBLES.items()}


def test_only_nve_conserves_the_energy(replicas: dict[str, Replica]) -> None:
    spread = {name: np.ptp(thermo(replica).column("TotEng")) for name, replica in replicas.items()}
    assert spread.pop("nve") < NVE_OVER_NVT_ENERGY * min(spread.values())


def test_only_npt_changes_the_cell(replicas: dict[str, Replica]) -> None:
    for name, replica in replicas.items():
        volumes = np.array(thermo(replica).column("Volume"))
        found = boxes(replica)
        np.testing.assert_allclose(found.prod(axis=1), volumes, rtol=1e-6)
        assert np.ptp(found, axis=1).max() < 1e-9  # isotropic: a cube stays a cube
        if not name.startswith("npt"):
            assert set(volumes) == {1000.0}


def test_barostats_bring_the_pressure(replicas: dict[str, Replica]) -> None:
    # In the cell as it stands the model presses with some 6,000 bar.
    for name, pressure_bar, grows in (("npt", 3000.0, True), ("npt_langevin", 30000.0, False)):
        found = thermo(replicas[name])
        assert (found.column("Volume")[-1] > 1000.0) is grows
        half = len(found.rows) // 2
        assert np.mean(found.column("Press")[half:]) == pytest.approx(pressure_bar, rel=BAROSTAT_RELATIVE)


def test_thermostats_hold_the_temperature(replicas: dict[str, Replica]) -> None:
    for name in ("nvt", "nvt_langevin", "npt", "npt_langevin"):
        assert np.mean(thermo(replicas[name]).column("Temp")) == pytest.approx(600.0, abs=ENSEMBLE_TEMPERATURE_K)


def test_only_the_selected_species_are_dumped(tmp_path: Path) -> None:
    plan, replica = run(tmp_path, 'dump_species = ["P", "Li"]')
    frames = dump_text(replica).split("ITEM: TIMESTEP\n")[1:]
    assert len(frames) == plan.study.dynamics.frames == 21
    for frame in frames:
        atoms = frame.split("ITEM: ATOMS id element xu yu zu\n")[1].splitlines()
        assert Counter(line.split()[1] for line in atoms) == {"Li": 24, "P": 4}
    trajectory = read_dump(replica.dumps(1), species=None)
    assert sorted(set(trajectory.elements)) == ["Li", "P"]
    # Enough for D, whose drift is that of what is not Li.
    msd, _, _ = analyse_replica(
        replica.dumps(1), species="Li", timestep_fs=TIMESTEP_FS, drift="framework", options=DiffusionOptions()
    )
    assert msd.msd_A2[-1] > 0.0
