"""`python -m shipper` is the command `shipper`."""

import sys

from shipper.cli.shipper import main

if __name__ == "__main__":
    sys.exit(main())
