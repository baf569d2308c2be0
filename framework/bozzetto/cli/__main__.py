"""The command line as a module, for processes that start another one: `python -m bozzetto.cli run ...`."""

import sys

if __name__ == "__main__":
    try:
        from bozzetto.cli import main
    except KeyboardInterrupt:  # before there is anything that could answer it
        sys.exit(130)
    sys.exit(main())
