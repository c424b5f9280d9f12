"""`python -m tests.chaos [--faults 200] [--seed 1]`: prints what it did; exit code 1 when anything differs."""

from __future__ import annotations

import argparse
import sys

from tests.chaos.campaign import Campaign
from tests.chaos.world import open_world


def main() -> int:
    """Runs a campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    options = parser.parse_args()
    with open_world(keep=options.keep) as world:
        if options.keep:
            print(f"logs are in {world.folder}")
        print("with full disks" if world.can_fill_the_disk else "without full disks: this user may not mount a tmpfs")
        campaign = Campaign(
            world, faults=options.faults, seed=options.seed, rows=options.rows, say=lambda line: print(line, flush=True)
        )
        result = campaign.run()
    print(result)
    for wrong in result.wrong:
        print(wrong)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
