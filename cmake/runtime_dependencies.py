"""Print what pyproject.toml lists as run-time dependencies, so that they are installed before the build needs them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
sys.stdout.write("\n".join(requirement.replace(" ", "") for requirement in project["dependencies"]))
