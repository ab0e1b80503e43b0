"""`python -m lpsmd` is the command `lpsmd`."""

from __future__ import annotations

from lpsmd.cli import main

if __name__ == "__main__":
    main()
