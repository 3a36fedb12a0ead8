"""Names for the parsers that commands are added to."""

import argparse
from typing import TypeAlias

#: What `add_subparsers` returns: a command adds its own parser to it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
