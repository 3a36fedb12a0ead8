"""`./dev fuzz-native [--minutes N] [--seed N]`: compares until the time is over.

Prints how many lines there were, and which share of them the core takes. At the first block that
differs it prints the block and both results, and ends with 1; `--seed` repeats it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from tests.fuzz_native.comparison import SETUPS, Count, DifferenceError, Pair, block

#: Blocks with one seed; what differs is found again in seconds.
_ROUND = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz-native", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="the first seed (default: another one each time)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**40)
    count = Count()
    try:
        pairs = [Pair(setup, os.environ.__setitem__) for setup in SETUPS]
    except RuntimeError as error:
        sys.stderr.write(f"fuzz-native: {error}\n")
        return 2
    began = time.monotonic()
    rounds = 0
    while time.monotonic() - began < 60 * options.minutes:
        rng = random.Random(seed + rounds)
        try:
            for _ in range(_ROUND):
                rng.choice(pairs).compare(block(rng), rng.choice((0, 4711, 2**40 - 9)), count)
        except DifferenceError as error:
            sys.stderr.write(f"fuzz-native: --seed {seed + rounds}: {error}\n")
            return 1
        rounds += 1
    share = count.native / count.lines
    sys.stdout.write(
        f"{count.lines} lines in {count.blocks} blocks, seeds {seed} to {seed + rounds - 1}: "
        f"no difference; the core took {share:.1%} of the lines, and declined {count.declined} "
        "blocks as a whole\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
