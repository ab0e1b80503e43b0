"""What pip has on record of lpsmd and of the packages that it requires; the standard library only."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A package that lpsmd requires: as pip writes it, its name, its limits as (operator, version)."""

    text: str
    package: str
    limits: tuple[tuple[str, str], ...]

    @property
    def installed(self) -> str:
        """The version that is installed, "" if none is."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return ""

    @property
    def fulfilled(self) -> bool:
        """True if a version within the limits is installed."""
        found = version_numbers(self.installed)
        return bool(found) and all(
            found == version_numbers(limit) if operator == "==" else found >= version_numbers(limit)
            for operator, limit in self.limits
        )


def requirements() -> list[Requirement]:
    """What pip's record of lpsmd says that it requires, extras left out; empty where there is no record."""
    try:
        texts = metadata.requires("lpsmd") or []
    except metadata.PackageNotFoundError:
        return []
    return [
        Requirement(text=text, package=name.group(0), limits=tuple(re.findall(r"(==|>=)\s*([\d.]+)", text)))
        for text in texts
        if ";" not in text and (name := re.match(r"[\w.-]+", text))
    ]


def required_python() -> str:
    """The versions of Python that lpsmd takes, "" where pip has no record of it."""
    try:
        return str(metadata.metadata("lpsmd")["Requires-Python"])
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def pinned(package: str, version: str | None = None) -> str:
    """A package with the version that lpsmd requires, else the one given, as an argument of pip."""
    text = next((each.text for each in requirements() if each.package == package), None)
    return f"'{text or (f'{package}=={version}' if version else package)}'"


def version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, up to the first that is none: 2.13.0+cpu is 2.13.0."""
    plain = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (plain.group(0) if plain else "").split(".") if part)


def torch_folder() -> Path | None:
    """Where Python finds torch, without importing it."""
    try:
        found = importlib.util.find_spec("torch")
    except ImportError:  # from an importer that forbids it
        return None
    return None if found is None or found.origin is None else Path(found.origin).parent
