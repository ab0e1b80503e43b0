"""What the commands on dumps share: their arguments, which files make a replica, progress, results as files."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from lpsmd.errors import LpsmdError

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("dumps", nargs=-1, required=True),
    click.option("--species", default="Li", show_default=True, help="Element that moves."),
    click.option("--timestep-fs", type=float, help="Integrator's step: dumps count steps, not time."),
    click.option(
        "--drift",
        type=click.Choice(["framework", "com", "none"]),
        default="framework",
        show_default=True,
        help="What is at rest: all other elements, the centre of mass, or the box.",
    ),
    click.option("--elements", metavar="'Li P S Cl'", help="Elements of types 1, 2, ..., for dumps with types only."),
    click.option("--unwrap", is_flag=True, help="Positions are wrapped, without images: take nearest images."),
    click.option("--drop-truncated", is_flag=True, help="Leave out a last frame that its file cuts short."),
    click.option("--one-trajectory", is_flag=True, help="The files are successive parts of one trajectory."),
    click.option("--topology", type=click.Path(path_type=Path), help="Elements for XTC, TRR, DCD, H5MD, NetCDF."),
    click.option("--frame-interval-fs", type=float, help="Time between frames, for formats that do not hold it."),
    click.option("--processes", type=click.IntRange(min=1), help="Replicas read at a time. [default: one a core]"),
)


def dump_options(command: Command) -> Command:
    """Give a command the arguments that tell what to read; they come back as `Dumps`, in `dumps`."""

    @wraps(command)
    def wrapped(
        dumps: tuple[str, ...],
        elements: str | None,
        unwrap: bool,
        drop_truncated: bool,
        one_trajectory: bool,
        topology: Path | None,
        frame_interval_fs: float | None,
        **rest: Any,
    ) -> Any:
        options = {
            "elements_of_types": elements.replace(",", " ").split() if elements else None,
            "unwrap": unwrap,
            "drop_truncated": drop_truncated,
            "topology": topology,
            "frame_interval_fs": frame_interval_fs,
        }
        replicas = replicas_of(dumps, one_trajectory=one_trajectory)
        return command(dumps=Dumps(replicas=replicas, options=options), **rest)

    return reduce(lambda inner, option: option(inner), reversed(_OPTIONS), wrapped)  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Dumps:
    """The files of each replica, and how to read them."""

    replicas: list[list[str]]
    options: dict[str, Any]

    @property
    def read(self) -> Callable[..., Any]:
        """`lpsmd.analysis.read_trajectory` with the options given."""
        from lpsmd.analysis import read_trajectory

        return partial(read_trajectory, **self.options)


def replicas_of(arguments: Sequence[str], *, one_trajectory: bool) -> list[list[str]]:
    """Files of each replica: a file or a pattern's matches are one each, a folder is one with the dumps in it.

    Names with numbers come in the order of their numbers: chunk 10 after chunk 9.

    Raises
    ------
    LpsmdError
        If a pattern matches nothing or a folder holds no dump.
    """
    replicas: list[list[str]] = []
    for argument in arguments:
        if Path(argument).is_dir():
            replicas.append(_dumps_in(argument))
        elif glob.has_magic(argument) and not Path(argument).exists():
            found = sorted(glob.glob(argument, recursive=True), key=natural)  # noqa: PTH207 (may be absolute)
            if not found:
                raise LpsmdError(f"{argument}: no file matches this pattern; check it with `ls`")
            replicas += [_dumps_in(name) if Path(name).is_dir() else [name] for name in found]
        else:
            replicas.append([argument])
    _refuse_repeats([name for replica in replicas for name in replica])
    return [[name for replica in replicas for name in replica]] if one_trajectory else replicas


def _refuse_repeats(names: Sequence[str]) -> None:
    seen: dict[Path, str] = {}
    for name in names:
        earlier = seen.setdefault(Path(name).resolve(), name)
        if earlier is not name:
            raise LpsmdError(f"{name}: is given twice (as {earlier} too), each file once is needed")


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which run-10 comes after run-9."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _dumps_in(folder: str) -> list[str]:
    names = [
        str(path)
        for path in Path(folder).iterdir()
        if re.search(r"\.(dump|lammpstrj)(\.\d+)?(\.gz|\.zst|\.bin)?$", path.name)
    ]
    if not names:
        raise LpsmdError(f"{folder}: holds no file named *.dump or *.lammpstrj; name the files of the replica")
    return sorted(names, key=natural)


@contextmanager
def reading(n_replicas: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, where there is more than a moment's work; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal or n_replicas < 2) as bars:
        task = bars.add_task("replicas", total=n_replicas)
        yield lambda done: bars.update(task, completed=done)


def write_out(
    paths: Iterable[Path], *, values: Callable[[], Any], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write results as JSON or CSV, by the end of each name.

    Raises
    ------
    LpsmdError
        If the ending is another or the folder does not exist.
    """
    from lpsmd.analysis import write_csv

    for path in paths:
        if path.suffix == ".json":
            path.write_text(json.dumps(values(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        else:
            write_csv(path, columns, rows)
        click.echo(f"{path} written", err=True)


TABLES, PLOTS = (".csv", ".json"), (".png", ".pdf", ".svg")


def check_out(option: str, paths: Iterable[Path | None], endings: Sequence[str]) -> None:
    """Say before long work that a result could not be written after it.

    Raises
    ------
    LpsmdError
        If the ending is not known or the folder does not exist.
    """
    for path in paths:
        if path is None:
            continue
        if path.suffix not in endings:
            raise LpsmdError(f"{option} {path}: the name must end in {' or '.join(endings)}")
        if not path.resolve().parent.is_dir():
            raise LpsmdError(f"{option} {path}: the folder {path.resolve().parent} does not exist; create it first")
