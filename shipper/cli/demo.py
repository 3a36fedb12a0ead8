"""`shipper demo`: the real daemon on generated logs."""

from shipper.cli.parsers import Commands
from shipper.demo.run import add_arguments, run


def add(commands: Commands) -> None:
    """Adds the command."""
    demo = commands.add_parser(
        "demo",
        help="the real daemon on generated logs, with an audit at the end",
        description="Writes Tetragon's logs and rotates them, ships them with the real daemon to "
        "an embedded receiver, and counts what is lost or doubled. Exit code 1 if anything is.",
    )
    add_arguments(demo)
    demo.set_defaults(command=run)
