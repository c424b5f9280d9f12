"""When something that died is started again: at once, and after longer and longer pauses when it keeps dying."""

from __future__ import annotations

import time
from collections.abc import Callable

CALM_SECONDS = 10.0
"""What has lived so long counts as well again."""
LONGEST_PAUSE = 30.0


class Restarts:
    """The restarts of one part of the stack. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -CALM_SECONDS
        self._due: float | None = None
        self.in_a_row = 0
        """How often it died without having lived for long, this time included."""

    def due(self) -> bool:
        """To be asked again and again while it is dead; True when it is to be started now: pauses are 0, 1, 2, 4 …
        30 seconds."""
        now = self._clock()
        if self._due is None:
            self.in_a_row = 1 if now - self._last >= CALM_SECONDS else self.in_a_row + 1
            self._due = now + (min(2.0 ** (self.in_a_row - 2), LONGEST_PAUSE) if self.in_a_row > 1 else 0)
        if now < self._due:
            return False
        self._due, self._last = None, now
        return True
