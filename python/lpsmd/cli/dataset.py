"""`lpsmd dataset`: labelled frames from anywhere into sets, parts, and a look at them."""

from __future__ import annotations

from pathlib import Path

import click

_sets = click.argument("path", metavar="FOLDER|FILE", type=click.Path(path_type=Path, exists=True))


@click.group()
def dataset() -> None:
    r"""Check and join labelled frames, split them, look at them.

    \b
      lpsmd dataset import labels-*/pbe.extxyz -o data/pbe.extxyz
      lpsmd dataset import labels-*/hse06.extxyz -o data/hse06.extxyz
      lpsmd dataset split data
      lpsmd dataset show data
    """


@dataset.command(name="import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Set to write.")
@click.option("--append", is_flag=True, help="Add to the set that is there; what it has already is passed over.")
@click.option(
    "--units",
    type=click.Choice(["eV/Angstrom", "Hartree/Bohr", "Ry/Bohr", "kcal/mol/Angstrom"]),
    help="Of energies and forces in all the files; default: eV/Angstrom. What looks otherwise is refused, unless "
    "eV/Angstrom is given.",
)
@click.option(
    "--labels",
    metavar="PREFIX|calculator",
    help="Where energy and forces are, if in more than one place: REF_ for REF_energy and REF_forces, calculator for "
    "what ASE's reader takes.",
)
@click.option("--level", help="Functional of frames that have no key level: PBE, HSE06.")
@click.option("--recipe", help="Recipe of frames that have no key recipe.")
@click.option("--mixed-recipes", is_flag=True, help="Take frames of several recipes that are known to agree.")
@click.option(
    "--independent",
    is_flag=True,
    help="Frames that name no dynamics (start, trajectory) are of none; default: those of one file stay together.",
)
@click.option(
    "--names-of",
    metavar="SET",
    type=click.Path(path_type=Path),
    help="Give frames the names (key frame) that their geometries have in this set, as two functionals need them; "
    "frames that are not there are bad.",
)
@click.option(
    "--net-force",
    type=float,
    help="Largest sum of the forces over the root of the number of atoms, eV/Angstrom; default 0.01.",
)
@click.option("--closest", type=float, help="Least distance in sums of covalent radii; default 0.5.")
@click.option("--energy-spread", type=float, help="Largest distance from the median energy, eV/atom; default 1.")
@click.option(
    "--largest-force",
    type=click.FloatRange(min=0.0, min_open=True),
    help="On any atom, eV/Angstrom: one frame far from equilibrium outweighs many others; default: any.",
)
@click.option("--skip-bad", is_flag=True, help="Leave bad frames out and name them; without it nothing is written.")
def import_(
    files: tuple[Path, ...],
    output: Path,
    append: bool,
    units: str | None,
    labels: str | None,
    level: str | None,
    recipe: str | None,
    mixed_recipes: bool,
    independent: bool,
    names_of: Path | None,
    net_force: float | None,
    closest: float | None,
    energy_spread: float | None,
    largest_force: float | None,
    skip_bad: bool,
) -> None:
    r"""Check labelled frames, write them as one set.

    FILES are what ASE reads (VASP, extended XYZ ...), the set is extended XYZ in eV and Angstrom. Energies and forces
    are taken; stresses are not, since models train without them: frames that had one are counted.

    Refused are frames without energy and forces of one source, with numbers that are not finite, with atoms on one
    another, with forces that do not sum to zero, with a geometry or a name that is there twice, with an energy of
    another zero than that of other frames of the same composition, files whose units look wrong, and sets of more than
    one functional or recipe.

    \b
      lpsmd dataset import run1/OUTCAR run2/vasprun.xml --level PBE -o pbe.extxyz
      lpsmd dataset import hse/vasprun.xml --level HSE06 -o hse06.extxyz --names-of pbe.extxyz
      lpsmd dataset import cp2k.extxyz --units Hartree/Bohr --level PBE -o pbe.extxyz
      lpsmd dataset import labels/pbe.extxyz -o data/pbe.extxyz --append
    """
    from lpsmd.dataset import import_dataset
    from lpsmd.dataset.checks import Tolerances

    given = {
        "net_force_eV_per_A": net_force,
        "closest": closest,
        "energy_spread_eV_per_atom": energy_spread,
        "largest_force_eV_per_A": largest_force,
    }
    done = import_dataset(
        files,
        output,
        units=units,
        labels=labels,
        level=level,
        recipe=recipe,
        mixed_recipes=mixed_recipes,
        independent=independent,
        names_of=names_of,
        append=append,
        tolerances=Tolerances(**{name: value for name, value in given.items() if value is not None}),
        skip_bad=skip_bad,
    )
    for entry in done.refused:
        click.echo(f"left out: {entry}", err=True)
    counts = [f"{done.kept + done.written} frames"]
    counts += [f"{done.written} of them new, {done.known} given again"] if append else []
    counts += [f"{done.left_out} left out"]
    counts += [f"{done.with_stress} had a stress, which is not taken"] if done.with_stress else []
    click.echo(f"{output}: {', '.join(counts)}")


@dataset.command()
@_sets
@click.option("--validation", type=float, default=0.1, show_default=True, help="Fraction of the groups.")
@click.option("--test", type=float, default=0.15, show_default=True, help="Fraction of the groups.")
@click.option("--seed", type=int, default=1, show_default=True, help="For another split.")
@click.option("--redraw", is_flag=True, help="Forget all parts that frames have, those of `lpsmd select` too.")
@click.option(
    "--closest-rms",
    type=click.FloatRange(min=0.0),
    default=0.4,
    show_default=True,
    help="Least rms displacement in Angstrom between frames of dynamics in two parts; 0: not checked.",
)
def split(path: Path, validation: float, test: float, seed: int, redraw: bool, closest_rms: float) -> None:
    r"""Put each frame into training, validation or test.

    The key part (train, validation, test) is written into FOLDER's sets (pbe.extxyz, hse06.extxyz ...), the same for
    equal keys frame. What shares its start, its trajectory or its name is a group and goes to one part; a frame that is
    not of dynamics and names neither is a group of its own. The group's name and the seed decide, so that no frame
    moves when the set grows; a part that is there is kept, and holds for the whole group. Refused is a split in which a
    frame of dynamics is nearly one of another part.

    \b
      lpsmd dataset split data --validation 0.1 --test 0.15
      lpsmd dataset split data --test 0      # where frames for the test were drawn with `lpsmd select --uniform`
    """
    from lpsmd.dataset import split_dataset
    from lpsmd.dataset.summary import split_table, summary_of

    done = split_dataset(path, validation=validation, test=test, seed=seed, redraw=redraw, closest_rms_A=closest_rms)
    click.echo(split_table(summary_of(done.dataset, done.nearest)))
    click.echo(f"{path}: {len(done.parts)} frames in {done.groups} groups; {done.had_part} had a part before")


@dataset.command()
@_sets
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def show(path: Path, as_json: bool) -> None:
    r"""Count and measure labelled sets.

    Of a folder with pbe.extxyz, hse06.extxyz ..., or of one file: frames by part and region, energies, forces, levels,
    recipes, which frames not every set has, and how close frames of two parts are.

    \b
      lpsmd dataset show data
      lpsmd dataset show vasp.extxyz --json
    """
    import json

    from lpsmd.dataset.summary import sets_table, split_table, summarize

    summary = summarize(path)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), indent=1))
    else:
        click.echo(f"{sets_table(summary)}\n\n{split_table(summary)}")
