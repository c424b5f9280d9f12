"""`python -m tests.chaos [--faults 200] [--stream-faults 200] [--seed 1]`: prints what it did, of loads of files and of
streams; exit code 1 when anything differs."""

from __future__ import annotations

import argparse
import sys

from tests.chaos.campaign import Campaign
from tests.chaos.streaming import StreamCampaign, open_streams
from tests.chaos.world import open_world


def main() -> int:
    """Runs a campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--stream-faults", type=int, default=200, help="those of Kafka, Kinesis and changes of tables")
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
        results = [campaign.run()] if options.faults else []
        if options.stream_faults:
            with open_streams(world) as (streams, origin):
                streaming = StreamCampaign(
                    world,
                    streams,
                    origin,
                    faults=options.stream_faults,
                    seed=options.seed,
                    say=lambda line: print(line, flush=True),
                )
                results.append(streaming.run())
    for result in results:
        print(result)
        for wrong in result.wrong:
            print(wrong)
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
