"""The short form of `make chaos`: a few faults of every build, the long form's seed unseen."""

from __future__ import annotations

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.streaming import StreamCampaign, open_streams
from tests.chaos.world import open_world

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.mark.timeout(600)
def test_faults_at_random_moments_lose_and_double_nothing() -> None:
    reported: list[str] = []
    with open_world() as world:
        result = Campaign(
            world, faults=3, seed=11, rows=15_000, modes=("append", "upsert", "replace"), say=reported.append
        ).run()
    assert result.wrong == [], "\n".join(reported)
    assert (result.lost, result.doubled) == (0, 0)
    assert result.faults.total() >= 3


@pytest.mark.timeout(900)
def test_streams_lose_and_double_nothing_either() -> None:
    reported: list[str] = []
    with open_world() as world, open_streams(world) as (streams, origin):
        result = StreamCampaign(world, streams, origin, faults=4, seed=3, say=reported.append).run()
    assert result.wrong == [], "\n".join(reported)
    assert (result.lost, result.doubled) == (0, 0)
