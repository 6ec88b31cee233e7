"""``python -m hemf`` is ``hemf``."""

import sys

from hemf.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
