"""The page of a streaming run in Prefect, an artifact: how far behind it is, and the runs before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from headrace.flows.prefect.report import cell, console_url
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.streaming.lag import Lags, worst


@dataclass(frozen=True, slots=True)
class StreamPage:
    """What does not change while the run streams. `before` is the run before it in the stream."""

    pipeline_name: str
    run_id: str
    api_url: str
    began: datetime
    config: ExecutionConfig
    before: str | None = None

    @property
    def rolls_over(self) -> datetime:
        """When the next run is to follow."""
        return self.began + timedelta(seconds=self.config.rollover_seconds)

    def heading(self, lags: Lags, now: datetime) -> str:
        """`Orders: 1.2 s behind`."""
        seconds, most = worst(lags, now), self.config.max_lag_seconds
        if seconds is None:
            behind = "not known how far behind"
        elif most is not None and seconds > most:
            behind = f"{_duration(seconds)} behind, more than maxLagSeconds ({most:,})"
        else:
            behind = f"{_duration(seconds)} behind"
        return f"{self.pipeline_name}: {behind}"

    def markdown(self, lags: Lags, rows: int, now: datetime, *, ended: str = "", after: str | None = None) -> str:
        """The page. `rows` are those of this run; `ended` says why it ended, `after` is the run that follows it."""
        console = console_url(self.api_url)
        facts = [
            ("as of", f"{_time(now)}; {rows:,} rows read by this run since {_time(self.began)}"),
            *([("ended", cell(ended))] if ended else []),
            ("run before", _link(self.before) if self.before else "none: this one began the stream"),
            ("run after", self._after(ended, after)),
            ("in Headrace", f"[{self.run_id}]({console}/runs/{self.run_id})"),
        ]
        return "\n".join(
            [
                f"## {cell(self.heading(lags, now))}",
                "",
                "| source | rows waiting | behind at most |",
                "|---|--:|--:|",
                *(f"| {cell(node)} | {lag.rows:,} | {_age(lag.seconds(now))} |" for node, lag in lags.items()),
                "",
                "| | |",
                "|---|---|",
                *(f"| **{name}** | {value} |" for name, value in facts),
                *self._advice(lags, now, ended),
            ]
        )

    def _after(self, ended: str, after: str | None) -> str:
        if after is not None:
            return _link(after)
        if ended:
            return "none yet: if one is wanted, it starts within a minute"
        return f"follows at {_time(self.rolls_over)} (rolloverSeconds), and sooner if the pipeline changes"

    def _advice(self, lags: Lags, now: datetime, ended: str) -> Sequence[str]:
        most, seconds = self.config.max_lag_seconds, worst(lags, now)
        if ended or most is None or seconds is None or seconds <= most:
            return ()
        return (
            "",
            "**What to look at.** If *rows waiting* grows, more arrives than is loaded: raise `parallelism` or "
            "`maxRows`, or find what slows the target. If it stays while *behind* grows, the run waits: its last log "
            "lines say for what (a lock, a source that does not answer). Nothing is lost meanwhile, unless the source "
            "removes what was not read: compare with how long it keeps records.",
        )


def _link(run_id: str) -> str:
    """A link within Prefect's UI."""
    return f"[{run_id}](/runs/flow-run/{UUID(hex=run_id.removeprefix('run_'))})"


def _age(seconds: float | None) -> str:
    return "not known" if seconds is None else _duration(seconds)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = seconds / 60
    return f"{minutes:,.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
