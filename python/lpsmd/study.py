"""A study: which cells, which models, at which temperatures, how long, how often. Frozen once it is read.

What people write is read in `lpsmd.study_file`; here a study is a tree of frozen dataclasses with the unit of every
number in its name. It becomes a JSON record beside its results and comes back from it (`Study.to_dict`,
`Study.from_dict`), so that what runs and what watches need neither the study file nor the model files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lpsmd.errors import LpsmdError
from lpsmd.text import fixed_with_error

if TYPE_CHECKING:
    from lpsmd.analysis import Diffusion
    from lpsmd.ensemble import StudyStatus, Watcher
    from lpsmd.report import StudyReport
    from lpsmd.structure import Structure

#: The record beside the results of a study; its `study` is what `Study.to_dict` made.
STUDY_RECORD = "study.json"

#: Seeds that LAMMPS takes everywhere: its Marsaglia generator stops at 900000000.
MAX_SEED = 900_000_000

EnsembleName = Literal["nvt", "nve", "npt"]
Thermostat = Literal["nose-hoover", "langevin"]


class StudyError(LpsmdError):
    """A study that cannot be read or makes no sense."""


@dataclass(frozen=True, kw_only=True)
class GeneratedStructure:
    """Independent cells of Li6PS5Cl from `lpsmd.structure.li6ps5cl`: the same composition, another disorder each."""

    generator: str
    a_A: float
    supercell: tuple[int, int, int]
    inversion: float
    seed: int
    count: int

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements in the order of their atom types."""
        from lpsmd.structure import LI6PS5CL_ELEMENTS

        return LI6PS5CL_ELEMENTS

    def build(self, index: int) -> Structure:
        """Make cell number `index`."""
        # Here and not above: `lpsmd status` must not pay for numpy.
        from lpsmd.structure import li6ps5cl

        return li6ps5cl(a_A=self.a_A, supercell=self.supercell, inversion=self.inversion, seed=self.seed + index)


@dataclass(frozen=True, kw_only=True)
class StructureFile:
    """One cell from a file, known by its content; at a volume that may differ from the file's by 3 %: 0.03."""

    file: Path
    sha256: str
    count: int = 1
    volume_strain: float = 0.0

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements in the order of their atom types."""
        return self.build(0).elements

    def build(self, index: int) -> Structure:
        """Read the cell; there is but number 0."""
        from lpsmd.structure import read_structure

        structure = read_structure(self.file)
        return structure.strained(self.volume_strain) if self.volume_strain else structure


@dataclass(frozen=True, kw_only=True)
class R2:
    """R^2 of a predicted difference of forces, with its standard error; `of` an element, or of all atoms."""

    ALL: ClassVar[str] = "all atoms"

    of: str
    value: float
    error: float | None

    def __str__(self) -> str:
        return fixed_with_error(self.value, self.error, least=3, sign="+-")


@dataclass(frozen=True, kw_only=True)
class FunctionalDifference:
    """What a passport tells of the forces of its functional less those of another, on held-out frames.

    `base` is the other functional, `base_sha256` the weights of its model, None where the passport tells none.
    """

    base: str
    base_sha256: str | None
    r2: tuple[R2, ...]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model file of the study and what its passport says.

    `training_seed`, `weights_sha256` and `functional_difference` are None where the passport tells none; `knows_stress`
    is True where the labels had a stress.
    """

    label: str
    path: Path
    sha256: str
    architecture: str
    functional: str
    dtype: str
    type_names: tuple[str, ...]
    training_seed: int | None
    knows_stress: bool
    weights_sha256: str | None = None
    functional_difference: FunctionalDifference | None = None


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How a replica moves, at whatever temperature. All lengths are whole multiples of the timestep.

    A replica runs in chunks: number 0 is the equilibration, 1 to `n_chunks` are the production. Nothing that a chunk
    does depends on `production_ps`, so that a study can be made longer and go on.
    """

    ensemble: EnsembleName
    thermostat: Thermostat
    damping_ps: float
    pressure_bar: float
    barostat_damping_ps: float
    timestep_fs: float
    equilibration_ps: float
    production_ps: float
    chunk_ps: float
    dump_interval_fs: float
    dump_species: tuple[str, ...] | None

    @property
    def equilibration_steps(self) -> int:
        """Steps before the production."""
        return round(1000.0 * self.equilibration_ps / self.timestep_fs)

    @property
    def production_steps(self) -> int:
        """Steps of the production."""
        return round(1000.0 * self.production_ps / self.timestep_fs)

    @property
    def chunk_steps(self) -> int:
        """Steps of a chunk of the production."""
        return round(1000.0 * self.chunk_ps / self.timestep_fs)

    @property
    def dump_steps(self) -> int:
        """Steps from one frame to the next."""
        return round(self.dump_interval_fs / self.timestep_fs)

    @property
    def n_chunks(self) -> int:
        """Chunks of the production; the equilibration, chunk 0, comes before them."""
        return self.production_steps // self.chunk_steps

    @property
    def total_steps(self) -> int:
        """Steps of a replica, the equilibration included."""
        return self.equilibration_steps + self.production_steps

    @property
    def frames(self) -> int:
        """Frames of a complete production, the one at step 0 included."""
        return self.production_steps // self.dump_steps + 1

    def steps_of(self, chunk: int) -> int:
        """Steps that a chunk runs."""
        return self.chunk_steps if chunk else self.equilibration_steps

    def frames_of(self, chunk: int) -> range:
        """Timesteps of the frames that a chunk writes; the first of a chunk is the last of the one before."""
        if chunk == 0:
            return range(0)
        last = chunk * self.chunk_steps
        first = 0 if chunk == 1 else last - self.chunk_steps + self.dump_steps
        return range(first, last + 1, self.dump_steps)

    def identity(self) -> dict[str, Any]:
        """What decides the trajectory of each chunk."""
        values = asdict(self)
        del values["production_ps"]
        return values


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """How many replicas of each model and temperature.

    With a target, between `minimum_replicas` and `replicas`, until half the 95 % interval of D is the target times D.
    Without one, `replicas`, of which at least `minimum_replicas` must survive. `retries` counts for each chunk.
    With `stop_on_broken_framework` a replica whose named bonds break (P-S in thiophosphates) has failed there.
    """

    replicas: int
    minimum_replicas: int
    target_relative_error: float | None
    retries: int
    stop_on_broken_framework: bool


@dataclass(frozen=True, kw_only=True)
class SlurmSpec:
    """What a batch job asks for; `walltime` is HH:MM:SS, `options` are further #SBATCH lines without that word."""

    partition: str | None
    account: str | None
    walltime: str
    nodes: int
    gpus_per_node: int
    prologue: str
    options: tuple[str, ...]

    @property
    def minutes(self) -> int:
        """The walltime as Slurm counts it: begun minutes are whole ones."""
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 60 * hours + minutes + (seconds > 0)


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec:
    """Where replicas run: on this machine, or in jobs of Slurm.

    `workers` is the number of replicas at a time on a node (None: one for each core, or for each GPU
    `replicas_per_gpu`); `gpus` are the devices of this machine; `lmp` is the program (None: the one of this Python).
    """

    workers: int | None
    gpus: tuple[str, ...]
    replicas_per_gpu: int
    lmp: str | None
    slurm: SlurmSpec | None

    @property
    def n_gpus(self) -> int:
        """GPUs of a node: those of this machine, or those that a job of Slurm is given."""
        return len(self.gpus) if self.slurm is None else self.slurm.gpus_per_node


def too_many_workers(workers: int, gpus: int, replicas_per_gpu: int) -> str:
    """What is wrong with more replicas at a time than a node's GPUs take."""
    return (
        f"[executor]: workers: found {workers}, needed at most {gpus * replicas_per_gpu}, replicas_per_gpu "
        f"({replicas_per_gpu}) on each GPU ({gpus}); for more at a time on a GPU write a larger replicas_per_gpu"
    )


@dataclass(frozen=True, kw_only=True)
class AnalysisSpec:
    """What is computed from the trajectories; none of it changes how they run.

    `fit_window` is None where the start of the fit is chosen by the data; else parts of the production.
    """

    species: str
    charge_e: float
    drift: Literal["framework", "com", "none"]
    fit_window: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One model at one temperature: what has one D."""

    model: ModelSpec
    temperature_K: float

    @property
    def name(self) -> str:
        """What it is called in messages, files and tables: nequip_pbe-900K."""
        return f"{self.model.label}-{self.temperature_K:g}K"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that a study file says, resolved and checked.

    `folder` is the one with its results that it was read from, where it goes on; it is no part of the study itself.
    """

    name: str
    seed: int
    structure: GeneratedStructure | StructureFile
    models: tuple[ModelSpec, ...]
    temperatures_K: tuple[float, ...]
    dynamics: Dynamics
    ensemble: EnsembleSpec
    executor: ExecutorSpec
    analysis: AnalysisSpec
    folder: Path | None = field(default=None, compare=False)

    @classmethod
    def load(cls, source: str | Path) -> Study:
        """Read a study: a TOML file, the folder of one that was run, or the word ``demo``.

        Raises
        ------
        StudyError
            Naming the section, the key, what was found and what is needed.
        """
        from lpsmd.study_file import load_study

        return load_study(source)

    def run(
        self, output: str | Path | None = None, *, workers: int | None = None, watcher: Watcher | None = None
    ) -> StudyReport:
        """Run what is missing, analyse, and write the results, as `lpsmd run` does. Nothing is printed.

        Parameters
        ----------
        output
            Folder of the study; default: that of `results_folder`.
        workers
            Replicas at a time on a node; default: the study's, else one for each core or GPU.
        watcher
            Told about progress; default: lines in the log ``lpsmd``, level INFO.

        Raises
        ------
        lpsmd.errors.LpsmdError
            As from `lpsmd.ensemble.run_ensemble` and `lpsmd.report.analyse_study`.
        """
        from lpsmd.ensemble import run_ensemble
        from lpsmd.progress import watching
        from lpsmd.report import analyse_study, write_results

        with watching() as lines:
            ensemble = run_ensemble(self, self.results_folder(output), workers=workers, watcher=watcher or lines)
        report = analyse_study(self, ensemble)
        write_results(report)
        return report

    def status(self, output: str | Path | None = None) -> StudyStatus:
        """How the study stands, also while another process runs it; see `lpsmd.ensemble.study_status`."""
        from lpsmd.ensemble import study_status

        return study_status(self.results_folder(output))

    def diffusion(self, output: str | Path | None = None) -> dict[str, Diffusion]:
        """D of each model and temperature that has enough complete replicas, by the name of the condition."""
        from lpsmd.ensemble import read_ensemble
        from lpsmd.report import analyse_study

        report = analyse_study(self, read_ensemble(self.results_folder(output), self))
        return {entry.condition.name: entry.analysis.diffusion for entry in report.conditions if entry.analysis}

    def results_folder(self, output: str | Path | None = None) -> Path:
        """Where its results are: as told, else in the folder that it was read from, else NAME-HASH here."""
        from lpsmd.ensemble import default_output

        return Path(output) if output is not None else self.folder or default_output(self)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every model at every temperature."""
        return tuple(Condition(model=model, temperature_K=t) for model in self.models for t in self.temperatures_K)

    def structure_of(self, replica: int) -> int:
        """Number of the structure that a replica starts from: the same for every model and temperature."""
        return replica % self.structure.count

    def identity(self) -> dict[str, Any]:
        """What decides the trajectory of a given model, temperature and replica.

        Not in it: the models, the temperatures, the number of replicas and the length of the production, so that
        each can be extended in place; where it runs; and the analysis.
        """
        structure = asdict(self.structure)
        structure.pop("file", None)  # not where it lies, but what is in it
        if not structure.get("volume_strain", True):
            del structure["volume_strain"]  # as studies were known before files had one
        identity: dict[str, Any] = plain(
            {"seed": self.seed, "structure": structure, "dynamics": self.dynamics.identity()}
        )
        return identity

    @cached_property
    def hash(self) -> str:
        """sha256 of `identity`, in hexadecimal; kept, as every seed comes from it."""
        return hash_of(self.identity())

    def replica_seed(self, index: int) -> int:
        """Seed of a replica's first velocities: the same for every model and temperature."""
        return self._seed(f"replica/{index}")

    def chunk_seed(self, index: int, chunk: int) -> int:
        """Seed of the random forces in one chunk of a replica."""
        return self._seed(f"replica/{index}/chunk/{chunk}")

    def _seed(self, what: str) -> int:
        """From the study's hash and a name alone.

        The whole 256-bit digest is reduced modulo 900000000, so no bits are thrown away unevenly.
        """
        digest = hashlib.sha256(f"{self.hash}/{what}".encode()).digest()
        return 1 + int.from_bytes(digest, "big") % MAX_SEED

    def to_dict(self) -> dict[str, Any]:
        """The resolved study as JSON-ready values; `from_dict` reads them."""
        values = plain(asdict(self))
        del values["folder"]
        return {**values, "hash": self.hash}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Study:
        """The study of a record that `to_dict` made."""
        structure = values["structure"]
        slurm = values["executor"]["slurm"]
        return cls(
            name=values["name"],
            seed=values["seed"],
            structure=(
                StructureFile(**{**structure, "file": Path(structure["file"])})
                if "file" in structure
                else GeneratedStructure(**{**structure, "supercell": tuple(structure["supercell"])})
            ),
            models=tuple(_model(model) for model in values["models"]),
            temperatures_K=tuple(values["temperatures_K"]),
            dynamics=Dynamics(**{**values["dynamics"], "dump_species": _tuple(values["dynamics"]["dump_species"])}),
            ensemble=EnsembleSpec(**values["ensemble"]),
            executor=ExecutorSpec(
                **{
                    **values["executor"],
                    "gpus": tuple(values["executor"]["gpus"]),
                    "slurm": None if slurm is None else SlurmSpec(**{**slurm, "options": tuple(slurm["options"])}),
                }
            ),
            analysis=AnalysisSpec(**{**values["analysis"], "fit_window": _tuple(values["analysis"]["fit_window"])}),
        )


def file_sha256(path: Path) -> str:
    """sha256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_of(values: Any) -> str:
    """sha256 of JSON-ready values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A tree of dataclasses' values as JSON has them."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _model(values: dict[str, Any]) -> ModelSpec:
    # Records of before it was read have no functional_difference.
    told = values.get("functional_difference")
    difference = told and FunctionalDifference(**{**told, "r2": tuple(R2(**entry) for entry in told["r2"])})
    read = {"path": Path(values["path"]), "type_names": tuple(values["type_names"])}
    return ModelSpec(**{**values, **read, "functional_difference": difference})


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
