"""Runs a recipe: `python launch.py --config configs/dreamfusion-sd.yaml prompt="a cactus"`."""

import sys

if __name__ == "__main__":
    try:
        from bozzetto.cli import main
    except KeyboardInterrupt:  # before there is anything that could answer it
        sys.exit(130)
    sys.exit(main())
