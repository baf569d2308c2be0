"""Entry point of `python -m bozzetto_priors`, which is the same as `tools/priors`."""

import sys

from bozzetto_priors.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
