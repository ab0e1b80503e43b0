"""The model contract: the passport of a model file, and the file itself.

A model file is a TorchScript archive with one JSON extra file, the passport. Its program is::

    forward(edge_vectors [E, 3] float64, edge_index [2, E] int64, atom_types [N] int64,
            weights [N] float64) -> (atom_energies [N] float64, edge_gradients [E, 3] float64)

with edge_vectors[e] = r_j - r_i in Angstrom, row 0 of edge_index the centre i and row 1 the
neighbour j, atom_types an index into the passport's type_names, energies in eV, and
edge_gradients = d(sum_i weights_i e_i) / d edge_vectors. Forces follow as f_i += g_e, f_j -= g_e;
dE/d(strain) = sum_e r_e (x) g_e.

Two guarantees of every graph builder, on which programs may rely: centres ascend
(edge_index[0] is sorted; neighbours of one centre come in any order), and only edges no longer
than `cutoff_A` are listed. A program ignores pairs beyond its own `pair_cutoff_A`.

A file is loaded straight onto its device (`torch.jit.load(..., map_location=device)`) and may be
frozen afterwards, never before it is saved: freezing would bake the exporting device in.

Reading a passport is cheap: it imports no torch and never executes the model.
"""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lpsmd.errors import LpsmdError

if TYPE_CHECKING:
    import torch

SCHEMA = 1
PASSPORT_NAME = "lpsmd.json"
ARCHITECTURES = ("nequip", "mace", "deepmd", "lj")
DTYPES = ("float32", "float64")
UNITS = {"energy": "eV", "length": "Angstrom"}

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class ModelFileError(LpsmdError):
    """A model file that cannot be read, or does not keep the contract."""


@dataclass(frozen=True, kw_only=True)
class SelfTestTolerance:
    """How far a program may be from the reference numbers in its own passport.

    The virial, like the energy, is compared per atom. The same numbers stand in
    cpp/model/session.cpp: change both or neither.
    """

    energy_eV_per_atom: float
    force_eV_per_A: float


SELF_TEST = {
    "float64": SelfTestTolerance(energy_eV_per_atom=1e-8, force_eV_per_A=1e-7),
    "float32": SelfTestTolerance(energy_eV_per_atom=1e-4, force_eV_per_A=5e-4),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """A frame with the numbers that the trainer's own package gives for it in float64.

    Attributes
    ----------
    source
        What computed the numbers, for example "nequip 0.19.1 calculator, float64".
    cell_A
        [3, 3], rows are the lattice vectors.
    pbc
        Periodic along each lattice vector.
    positions_A
        [N, 3].
    types
        [N], indices into the passport's type_names.
    energy_eV
        Total energy, shifts included.
    forces_eV_per_A
        [N, 3].
    virial_eV
        [3, 3], dE/d(strain) = ASE stress times volume.
    """

    source: str
    cell_A: FloatArray
    pbc: tuple[bool, bool, bool]
    positions_A: FloatArray
    types: IntArray
    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Passport:
    """What a model file says about itself.

    Attributes
    ----------
    architecture
        "nequip", "mace", "deepmd" or "lj".
    type_names
        Element of each type, in the order of atom_types.
    cutoff_A
        The longest edge that the program needs.
    pair_cutoff_A
        [T, T] symmetric, each at most cutoff_A, or None where all pairs share cutoff_A.
    layers
        Message-passing layers: energies of an atom depend on atoms within layers times cutoff_A.
    local
        True where atom energies depend on the atom's own edges, and the types at their ends, only
        (layers is 1): a caller may then let one node stand for all neighbours of a type.
    max_neighbors
        Per type, the neighbours within cutoff_A that an atom may have (sel of Deep Potential), or
        None where there is no limit. Callers must check and refuse: a program may cut or fail.
    dtype
        Inner precision; inputs and outputs are float64 whatever it is.
    functional
        Exchange-correlation functional of the labels, for example "PBE".
    description
        Free text.
    training
        Free: set hash, package versions, held-out errors. Some keys mean something to a study: `seed`, a whole
        number; `stress_labels`, true where the labels had a stress; and `functional_difference`, what
        `lpsmd.models.accuracy.difference_of` found against the model of another functional, with `base`, that
        functional (PBE without it). `parent.weights_sha256` are the weights of that model, which stand in its own
        passport as those of its last of `stages`.
    reference
        A frame that the program must reproduce wherever it is loaded.
    """

    architecture: str
    type_names: tuple[str, ...]
    cutoff_A: float
    layers: int
    local: bool
    dtype: str
    functional: str
    reference: Reference
    pair_cutoff_A: FloatArray | None = None
    max_neighbors: tuple[int, ...] | None = None
    description: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One set of rules for passports made here and passports read from a file.
        _parse(self.to_dict(), where="passport")

    def to_dict(self) -> dict[str, Any]:
        """The passport as JSON-ready values, with the keys of schema 1."""
        frame = self.reference
        return {
            "schema": SCHEMA,
            "architecture": self.architecture,
            "type_names": list(self.type_names),
            "cutoff_A": self.cutoff_A,
            "pair_cutoff_A": None if self.pair_cutoff_A is None else self.pair_cutoff_A.tolist(),
            "layers": self.layers,
            "local": self.local,
            "max_neighbors": None if self.max_neighbors is None else list(self.max_neighbors),
            "dtype": self.dtype,
            "units": dict(UNITS),
            "functional": self.functional,
            "description": self.description,
            "training": dict(self.training),
            "reference": {
                "source": frame.source,
                "cell_A": frame.cell_A.tolist(),
                "pbc": list(frame.pbc),
                "positions_A": frame.positions_A.tolist(),
                "types": frame.types.tolist(),
                "energy_eV": frame.energy_eV,
                "forces_eV_per_A": frame.forces_eV_per_A.tolist(),
                "virial_eV": frame.virial_eV.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "passport") -> Passport:
        """Check `values` against schema 1 and build a passport.

        Raises
        ------
        ModelFileError
            Naming `where`, the field, the value found and the value needed.
        """
        return cls(**_parse(values, where=where))


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """A loaded model file: its path, its passport and its program, placed on a device."""

    path: Path
    passport: Passport
    program: torch.jit.ScriptModule


def read_passport(path: str | Path) -> Passport:
    """Read the passport of a model file without loading, or executing, its program.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, no model file of lpsmd, or its passport breaks schema 1.
    """
    text = _read_extra_file(Path(path))
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"{path}: the passport {PASSPORT_NAME} is no JSON ({error}); export the model again with `lpsmd export`"
        ) from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{path}: the passport is a {type(values).__name__}, needed a JSON object")
    return Passport.from_dict(values, where=str(path))


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> ModelFile:
    """Load a model file onto a device. Needs torch alone, no trainer package.

    Raises
    ------
    ModelFileError
        As `read_passport`, and if the program itself cannot be loaded.
    """
    import torch

    passport = read_passport(path)
    try:
        with quiet_torchscript():
            program = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"{path}: the passport is whole but torch {torch.__version__} cannot load the program: "
            f"{str(error).strip().splitlines()[-1]}; copy or export the file again"
        ) from error
    return ModelFile(path=Path(path), passport=passport, program=program)


def save_model(program: torch.jit.ScriptModule, passport: Passport, path: str | Path) -> None:
    """Write a model file: the program with its passport inside.

    Raises
    ------
    ModelFileError
        If the file cannot be written.
    """
    import torch

    text = json.dumps(passport.to_dict(), allow_nan=False)
    whole = io.BytesIO()
    with quiet_torchscript():
        torch.jit.save(program, whole, _extra_files={PASSPORT_NAME: text})
    try:
        Path(path).write_bytes(_without_debug_records(whole))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error


def _without_debug_records(archive: io.BytesIO) -> bytes:
    """The archive without torch's line tables: half of the size, and paths of the exporting machine."""
    lean = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(lean, "w") as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                # A fixed date, so that the same program and passport give the same bytes.
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                new.writestr(entry, old.read(name), compress_type=old.getinfo(name).compress_type)
    return lean.getvalue()


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Hush torch's notice that TorchScript is deprecated: lpsmd knows, and pins torch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is not supported in Python", category=Warning)
        yield


def _read_extra_file(path: Path) -> bytes:
    """The bytes of the passport inside the zip archive that a TorchScript file is."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such model file") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if magic != b"PK\x03\x04":
        raise ModelFileError(
            f"{path}: not a model file of lpsmd (found first bytes {magic!r}, needed a TorchScript archive); "
            f"make one from a trained checkpoint with `lpsmd export`"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((n for n in archive.namelist() if n.endswith(f"/extra/{PASSPORT_NAME}")), None)
            if name is None:
                raise ModelFileError(
                    f"{path}: a torch archive without an lpsmd passport (found no {PASSPORT_NAME} in it); "
                    f"make a model file from the trained checkpoint with `lpsmd export`"
                )
            return archive.read(name)
    except zipfile.BadZipFile as error:
        raise ModelFileError(
            f"{path}: truncated or damaged model file ({path.stat().st_size} bytes, {error}); copy or export it again"
        ) from error


# --- schema 1 ------------------------------------------------------------------------------------

_KEYS = frozenset(
    [
        "schema",
        "architecture",
        "type_names",
        "cutoff_A",
        "pair_cutoff_A",
        "layers",
        "local",
        "max_neighbors",
        "dtype",
        "units",
        "functional",
        "description",
        "training",
        "reference",
    ]
)
_REFERENCE_KEYS = frozenset(
    ["source", "cell_A", "pbc", "positions_A", "types", "energy_eV", "forces_eV_per_A", "virial_eV"]
)


class _Fields:
    """Typed reading of one JSON object; an error names the field, what was found and what is needed."""

    def __init__(self, values: Mapping[str, Any], *, where: str, prefix: str = "") -> None:
        self._values = values
        self._where = where
        self._prefix = prefix

    def fail(self, key: str, needed: str) -> ModelFileError:
        found = repr(self._values.get(key))
        if len(found) > 120:
            found = found[:117] + "..."
        return ModelFileError(
            f"{self._where}: passport field {self._prefix}{key}: found {found}, needed {needed}; "
            f"export the model again with `lpsmd export`"
        )

    def expect_keys(self, needed: frozenset[str]) -> None:
        for kind, keys in (
            ("lacks", needed - self._values.keys()),
            ("has the unknown", self._values.keys() - needed),
        ):
            if keys:
                names = ", ".join(self._prefix + key for key in sorted(keys))
                raise ModelFileError(
                    f"{self._where}: the passport {kind} field {names}; schema {SCHEMA} needs exactly its "
                    f"own fields: export the model again with `lpsmd export`"
                )

    def section(self, key: str) -> _Fields:
        value = self._values[key]
        if not isinstance(value, Mapping):
            raise self.fail(key, "a JSON object")
        return _Fields(value, where=self._where, prefix=f"{self._prefix}{key}.")

    def mapping(self, key: str) -> dict[str, Any]:
        self.section(key)
        return dict(self._values[key])

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._values[key]
        if not isinstance(value, str) or not (value or empty):
            raise self.fail(key, "a text")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self._values[key]
        if value not in allowed:
            raise self.fail(key, "one of " + ", ".join(allowed))
        return str(value)

    def flag(self, key: str) -> bool:
        value = self._values[key]
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def number(self, key: str) -> float:
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.fail(key, "a finite number")
        return float(value)

    def count(self, key: str, *, least: int) -> int:
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fail(key, f"a whole number, at least {least}")
        return value

    def array(self, key: str, shape: tuple[int, ...]) -> FloatArray:
        needed = f"finite numbers of shape {list(shape)}".replace("-1", "N")
        try:
            value = np.asarray(self._values[key], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self.fail(key, needed) from error
        if value.ndim != len(shape) or not np.isfinite(value).all():
            raise self.fail(key, needed)
        if any(want not in (-1, have) for want, have in zip(shape, value.shape, strict=True)):
            raise self.fail(key, needed + f" (found shape {list(value.shape)})")
        return value

    def integers(self, key: str, *, length: int | None, bound: int | None) -> tuple[int, ...]:
        value = self._values[key]
        top = math.inf if bound is None else bound
        whole = isinstance(value, list) and all(type(n) is int and 0 <= n < top for n in value)
        if not whole or (length is not None and len(value) != length):
            size = "" if length is None else f"{length} "
            below = "" if bound is None else f" and below {bound}"
            raise self.fail(key, f"{size}whole numbers, each at least 0{below}")
        return tuple(value)


def _parse(values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Keyword arguments of Passport from JSON values, or an error that says which one is wrong."""
    fields = _Fields(values, where=where)
    found = values.get("schema")
    if found != SCHEMA or isinstance(found, bool):
        raise ModelFileError(
            f"{where}: found passport schema {found!r}, needed {SCHEMA}; export the model again with this "
            f"version's `lpsmd export`"
        )
    fields.expect_keys(_KEYS)
    units = fields.mapping("units")
    if units != UNITS:
        raise fields.fail("units", str(UNITS))
    type_names = _type_names(fields, values["type_names"])
    cutoff = fields.number("cutoff_A")
    if cutoff <= 0:
        raise fields.fail("cutoff_A", "a positive length")
    layers, local = fields.count("layers", least=1), fields.flag("local")
    if local and layers != 1:
        raise fields.fail("layers", "1 for a local model")
    sel = values["max_neighbors"]
    return {
        "architecture": fields.choice("architecture", ARCHITECTURES),
        "type_names": type_names,
        "cutoff_A": cutoff,
        "pair_cutoff_A": _pair_cutoff(fields, values["pair_cutoff_A"], n_types=len(type_names), cutoff_A=cutoff),
        "layers": layers,
        "local": local,
        "max_neighbors": None if sel is None else fields.integers("max_neighbors", length=len(type_names), bound=None),
        "dtype": fields.choice("dtype", DTYPES),
        "functional": fields.text("functional"),
        "description": fields.text("description", empty=True),
        "training": fields.mapping("training"),
        "reference": _reference(fields.section("reference"), n_types=len(type_names)),
    }


def _type_names(fields: _Fields, value: object) -> tuple[str, ...]:
    good = isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)
    if not good or len(set(value)) != len(value):  # type: ignore[arg-type,call-overload]
        raise fields.fail("type_names", "a list of distinct element names")
    return tuple(value)  # type: ignore[arg-type]


def _pair_cutoff(fields: _Fields, value: object, *, n_types: int, cutoff_A: float) -> FloatArray | None:
    if value is None:
        return None
    matrix = fields.array("pair_cutoff_A", (n_types, n_types))
    if (matrix <= 0).any() or (matrix > cutoff_A).any() or (matrix != matrix.T).any():
        raise fields.fail(
            "pair_cutoff_A", f"null or a symmetric matrix of positive lengths, none above cutoff_A {cutoff_A}"
        )
    return matrix


def _reference(fields: _Fields, *, n_types: int) -> Reference:
    fields.expect_keys(_REFERENCE_KEYS)
    positions = fields.array("positions_A", (-1, 3))
    n_atoms = len(positions)
    if n_atoms == 0:
        raise fields.fail("positions_A", "at least one atom")
    pbc = fields.array("pbc", (3,))
    return Reference(
        source=fields.text("source"),
        cell_A=fields.array("cell_A", (3, 3)),
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        positions_A=positions,
        types=np.asarray(fields.integers("types", length=n_atoms, bound=n_types), dtype=np.int64),
        energy_eV=fields.number("energy_eV"),
        forces_eV_per_A=fields.array("forces_eV_per_A", (n_atoms, 3)),
        virial_eV=fields.array("virial_eV", (3, 3)),
    )
