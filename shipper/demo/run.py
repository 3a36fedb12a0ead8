"""`shipper demo`: arguments and entry point. Imports the demo only when it runs, as all commands
load this module."""

import argparse
from pathlib import Path

from shipper.demo.options import DemoOptions


def add_arguments(
    parser: argparse.ArgumentParser, *, rate: float = 5000.0, lose_answers: bool = True
) -> None:
    """Adds the demo's options. `lose_answers`: whether the receiver can drop answers on purpose."""
    parser.add_argument(
        "--seconds", type=_positive, default=10.0, help="how long to write (default: %(default)g)"
    )
    parser.add_argument(
        "--rate", type=_positive, default=rate, help="events a second (default: %(default)g)"
    )
    parser.add_argument(
        "--events", type=_count, metavar="N", help="stop after N events, if that is earlier"
    )
    parser.add_argument(
        "--kill",
        type=_count,
        default=1,
        metavar="N",
        help="SIGKILL the daemon N times on the way (default: %(default)s)",
    )
    if lose_answers:
        parser.add_argument(
            "--lose-answers",
            type=_count,
            default=5,
            metavar="N",
            help="lose every Nth answer after its request was carried out; 0: none "
            "(default: %(default)s)",
        )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="use this directory, which must be new or empty, and leave the files in it",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the generated events (default: %(default)s)"
    )


def options_from(arguments: argparse.Namespace) -> DemoOptions:
    """The options from parsed arguments."""
    return DemoOptions(
        seconds=arguments.seconds,
        rate=arguments.rate,
        events=arguments.events,
        kills=arguments.kill,
        lose_every=getattr(arguments, "lose_answers", 0),
        keep=arguments.keep,
        seed=arguments.seed,
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo with the embedded receiver; returns the exit code."""
    from shipper.demo.play import play
    from shipper.demo.receiver import EmbeddedReceiver

    options = options_from(arguments)
    with EmbeddedReceiver(options.lose_every) as receiver:
        return play(options, receiver)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value
