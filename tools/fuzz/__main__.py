"""`python tools/fuzz`: see README.md."""

import sys
from pathlib import Path

if not __package__:  # called by its folder: its modules are found as those of a package, not one by one
    sys.path[0] = str(Path(__file__).parents[1])

from fuzz.command import main

if __name__ == "__main__":
    sys.exit(main())
