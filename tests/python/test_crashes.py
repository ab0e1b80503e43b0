"""kill -9 of whatever works for a study, at random moments: nothing is lost, and nothing comes out different."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.crashes import Study, roles
from support.studies import STUDY, study_file

_SEED = 20261126
_ORPHANS_END_S = 60.0
_END_S = 30.0
#: A chunk may be killed again and again: it needs as many retries as there may be kills.
_LONG_ENOUGH = (
    STUDY.replace("replicas = 2", "replicas = 4\nretries = 100")
    .replace("production_ps = 0.4", "production_ps = 2")
    .replace("chunk_ps = 0.2", "chunk_ps = 0.5")
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that nobody disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    study = Study(study_file(folder, _LONG_ENOUGH), folder / "out")
    study.run()
    return study


@pytest.mark.parametrize(
    "kills", [pytest.param(8, id="8-kills"), pytest.param(50, id="50-kills", marks=pytest.mark.slow)]
)
def test_a_study_whose_processes_are_killed_ends_with_the_same_bits(kills: int, calm: Study, tmp_path: Path) -> None:
    dice = random.Random(_SEED)
    victims = roles(dice)
    done: Counter[str] = Counter()
    while done.total() < kills:  # a study that came to its end too soon is followed by another
        study = Study(calm.file, tmp_path / f"killed-{done.total()}")
        done += study.run_through(kills - done.total(), victims, dice)
        assert_same(study.output, calm.output)
        assert_nothing_is_left(study)
    print("killed:", dict(done))


def test_a_signal_ends_a_study_at_once_and_it_goes_on(calm: Study, tmp_path: Path) -> None:
    study = Study(calm.file, tmp_path / "stopped")
    for number in (signal.SIGTERM, signal.SIGINT):
        with study.driver() as driver:
            study.wait_for("lmp", driver)
            driver.send_signal(number)
            assert driver.wait(_END_S) == 130
        assert study.processes() == []
        assert "stopped; run the same command again to go on" in study.log.read_text()
    study.run()
    assert_same(study.output, calm.output)


def assert_same(killed: Path, calm: Path) -> None:
    """Every chunk of every replica, and what was computed from them."""
    expected = sorted(path.relative_to(calm) for path in calm.glob("*/replica-*/chunk.*.[dr]*"))
    assert len(expected) == 4 * (5 + 4)  # restarts of all chunks, dumps of those after the equilibration
    found = sorted(path.relative_to(killed) for path in killed.glob("*/replica-*/chunk.*.[dr]*"))
    assert found == expected
    for name in [*expected, Path("msd.csv")]:
        assert (killed / name).read_bytes() == (calm / name).read_bytes(), name
    assert answers(killed) == answers(calm)


def answers(output: Path) -> list[dict[str, Any]]:
    """What a study says of its models, without where it lies and how long it took."""
    models = json.loads((output / "results.json").read_text())["models"]
    return [{name: model[name] for name in ("diffusion", "tensor", "collective", "conductivity")} for model in models]


def assert_nothing_is_left(study: Study) -> None:
    """No process, no half-written file."""
    end = time.monotonic() + _ORPHANS_END_S
    while (left := study.processes()) and time.monotonic() < end:
        time.sleep(0.2)
    assert left == []
    names = {path.name for path in (*study.output.glob("*"), *study.output.glob("*/replica-*/*"))}
    assert [name for name in names if name in ("running", "lock", "driver.lock") or name.endswith(".part")] == []
