"""What the stack's processes inherit."""

from __future__ import annotations

import subprocess
import sys

from deployments.stack.environment import base_environment

_ZONES = """
from zoneinfo import TZPATH, ZoneInfo, available_timezones
ZoneInfo("America/Los_Angeles")
print(len(TZPATH), len(available_timezones()) > 500)
"""


def test_time_zones_come_from_the_package_and_are_all_there() -> None:
    command = [sys.executable, "-P", "-c", _ZONES]
    done = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


def test_what_would_steer_prefect_is_left_out() -> None:
    assert not [name for name in base_environment() if name.startswith("PREFECT")]
