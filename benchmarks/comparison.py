"""Several ways to load the same rows into the same table, in alternating rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Taken


@dataclass(frozen=True)
class Way:
    """One way to load: `once` empties the table, loads it once and checks what has arrived. `plain`: a tool to compare
    with, not Headrace."""

    name: str
    once: Callable[[], Taken]
    plain: bool = False


@dataclass(frozen=True)
class Comparison:
    """What was measured of each way, in the order of the rounds. The ratio of a way is its median time divided by that
    of the fastest plain tool, `best`."""

    subject: str
    rows: int
    size: int
    """Bytes of the file, or 0 if there is none."""
    taken: Mapping[str, Sequence[Taken]]
    plain: Sequence[str]

    @classmethod
    def of(cls, subject: str, rows: int, size: int, ways: Sequence[Way], rounds: int) -> Comparison:
        """Runs all ways one after the other in each round, in the opposite order in every second one, so that neither
        a change of the machine's load nor the order favours one."""
        taken: dict[str, list[Taken]] = {way.name: [] for way in ways}
        for number in range(rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                taken[way.name].append(way.once())
        found = cls(subject, rows, size, taken, [way.name for way in ways if way.plain])
        print(found.text(), flush=True)
        return found

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Comparison:
        """The comparison that `stored` gave."""
        taken = {name: [Taken(**each) for each in rounds] for name, rounds in stored["taken"].items()}
        return cls(stored["subject"], stored["rows"], stored["bytes"], taken, stored["plain"])

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        taken = {
            name: [{key: round(value, 3) for key, value in each._asdict().items()} for each in rounds]
            for name, rounds in self.taken.items()
        }
        return {
            "subject": self.subject,
            "rows": self.rows,
            "bytes": self.size,
            "plain": [*self.plain],
            "taken": taken,
        }

    def median(self, way: str, quantity: str = "seconds") -> float:
        """The median of a quantity over the rounds; of the memory the greatest."""
        values = [float(getattr(each, quantity)) for each in self.taken[way]]
        return max(values) if quantity == "memory" else statistics.median(values)

    @property
    def best(self) -> str:
        """The fastest plain tool."""
        return min(self.plain, key=self.median)

    def ratio(self, way: str) -> float:
        """The time of a way as a multiple of the fastest plain tool's: below 1 is faster."""
        return self.median(way) / self.median(self.best)

    def text(self) -> str:
        """A table for the terminal."""
        size = f", {self.size / 1e6:,.0f} MB" if self.size else ""
        lines = [f"\n{self.subject}: {self.rows:,} rows{size}"]
        for way in self.taken:
            seconds = self.median(way)
            lines.append(
                f"  {way:34} {seconds:7.2f} s {self.rows / seconds:12,.0f} rows/s {self.ratio(way):6.2f} x {self.best};"
                f" CPU {self.median(way, 'client'):6.2f} + {self.median(way, 'server'):6.2f} s"
                f" (+ {self.median(way, 'beside'):.2f}); {self.median(way, 'memory'):5.0f} MB"
            )
        return "\n".join(lines)
