"""Entry point of `python tools/gpu_check`; see `gpu_check.command`."""

import sys
from pathlib import Path

if not __package__:  # called by its folder: import its modules as a package
    sys.path[0] = str(Path(__file__).parents[1])

from gpu_check.command import main

if __name__ == "__main__":
    sys.exit(main())
