"""A seeded series of runs with injected faults, each compared with a run without faults."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.cases import CASES, Loaded
from tests.chaos.result import NotYetError, Result, asked
from tests.chaos.world import World

_PATIENCE_SECONDS = 300
_MOST_RETRIES = 12
_CANCEL = "cancel"
_COLUMNS = "id, amount, name, day"


@dataclass(frozen=True)
class Outcome:
    """The result of a load: its counts, its errors and its quarantine. The rows are compared in the database."""

    counts: dict[str, Any]
    errors: Counter[str]
    quarantined: list[tuple[Any, ...]]


class Campaign:
    """Runs until `faults` have been injected. The same seed plans the same faults, at shares of a run's time."""

    def __init__(
        self,
        world: World,
        *,
        faults: int,
        seed: int,
        rows: int,
        say: Callable[[str], None],
        modes: Sequence[str] = tuple(case.mode for case in CASES),
    ) -> None:
        self._world, self._faults, self._rows, self._say = world, faults, rows, say
        self._chance = random.Random(seed)
        self._cases = [case for case in CASES if case.mode in modes]
        self._took: dict[str, float] = {}
        self.result = Result()

    def run(self) -> Result:
        """Injects, retries, compares."""
        assert self._world.stack is not None
        loaded = {
            case.mode: Loaded(self._world.stack, case, self._rows, self._world.direct_url) for case in self._cases
        }
        expected: dict[str, Outcome] = {}
        for mode, api in loaded.items():
            api.reset()
            self._ended(api, api.start())  # the first run of a pipeline makes its deployment warm
            api.reset()
            began = time.monotonic()
            run_id = api.start()
            self._ended(api, run_id)
            self._took[mode] = time.monotonic() - began
            expected[mode] = self._outcome(api, run_id)
            api.sql(f"CREATE TABLE chaos_{mode} AS SELECT {_COLUMNS} FROM {{table}}")
            self._say(f"{mode}: {expected[mode].counts} in {self._took[mode]:.1f} s without faults")
        while self.result.faults.total() < self._faults:
            mode = self._chance.choice(self._cases).mode
            self._one(loaded[mode], expected[mode])
        return self.result

    def _one(self, api: Loaded, expected: Outcome) -> None:
        api.reset()
        self.result.runs += 1
        began, run_id = time.monotonic(), asked(api.start)
        reported, kinds = [], [*self._world.faults, _CANCEL]
        for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
            delay, kind = self._chance.random() * self._took[api.case.mode] * 0.8, self._chance.choice(kinds)
            ended = self._wait(api, run_id, delay)
            if ended is None:
                if self._cancelled(api, run_id) if kind == _CANCEL else self._world.faults[kind]():
                    self.result.faults[kind] += 1
                    reported.append(f"{kind} after {delay:.1f} s")
            elif ended == "failed":
                run_id = self._retried(api, run_id)
            else:
                if not reported:  # the machine has become faster: the faults must come sooner
                    self._took[api.case.mode] = min(self._took[api.case.mode], time.monotonic() - began)
                break
        for _ in range(_MOST_RETRIES):
            if self._ended(api, run_id) != "failed":
                break
            run_id = self._retried(api, run_id)
        self._compare(api, run_id, expected, ", ".join(reported))

    def _cancelled(self, api: Loaded, run_id: str) -> bool:
        return bool(asked(lambda: api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel")).is_success)

    def _retried(self, api: Loaded, run_id: str) -> str:
        def retry() -> str | None:
            response = api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/retry")
            if response.status_code == 201:
                return str(response.json()["id"])
            newest = api.runs()[0]["id"]  # an answer that was lost on its way may have started one
            if newest != run_id:
                return str(newest)
            raise NotYetError(response.text)

        self.result.retries += 1
        return str(asked(retry))

    def _ended(self, api: Loaded, run_id: str) -> str:
        status = self._wait(api, run_id, _PATIENCE_SECONDS)
        if status is None:
            raise AssertionError(f"{api.case.mode}: {run_id} did not end:\n{api.progress(run_id)}")
        return status

    def _wait(self, api: Loaded, run_id: str, seconds: float) -> str | None:
        """The status with which the run ended within these seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = asked(lambda: api.progress(run_id)).get("status")
            if status not in (None, "pending", "running"):
                return str(status)
            time.sleep(0.05)
        return None

    def _outcome(self, api: Loaded, run_id: str) -> Outcome:
        progress = asked(lambda: api.progress(run_id))
        counts = {name: progress[name] for name in ("rowsIn", "rowsOut", "failedRows", "skippedRows")}
        csv = asked(lambda: api.get(f"/pipelines/{api.pipeline}/runs/{run_id}/errors", headers={"Accept": "text/csv"}))
        kept = api.sql(
            f'SELECT node_id, row_number, rule_id, error, "row"::text FROM dlq.{api.case.mode} '
            "ORDER BY row_number, rule_id"
        )
        return Outcome({"status": progress["status"], **counts}, Counter(csv.text.splitlines()), kept)

    def _compare(self, api: Loaded, run_id: str, expected: Outcome, reported: str) -> None:
        name = f"{api.case.mode} {run_id} ({reported})"
        found = self._outcome(api, run_id)
        differ = []
        for what in ("counts", "errors", "quarantined"):
            have, want = getattr(found, what), getattr(expected, what)
            if have != want:
                missing, extra = list(_without(want, have)), list(_without(have, want))
                differ.append(f"{what}: {len(missing)} missing, such as {missing[:3]}, {len(extra)} more, {extra[:3]}")
        lost = self._difference(
            api, f"SELECT {_COLUMNS} FROM chaos_{api.case.mode}", f"SELECT {_COLUMNS} FROM {{table}}"
        )
        more = self._difference(
            api, f"SELECT {_COLUMNS} FROM {{table}}", f"SELECT {_COLUMNS} FROM chaos_{api.case.mode}"
        )
        self.result.lost += lost
        self.result.doubled += more
        if differ or lost or more:
            self.result.wrong.append(f"{name}: {lost} lost, {more} too many; {'; '.join(differ)}")
        verdict = "as without faults" if not (differ or lost or more) else self.result.wrong[-1]
        self._say(f"{self.result.faults.total():4} faults  {name}: {verdict}")

    def _difference(self, api: Loaded, have: str, minus: str) -> int:
        [(count,)] = api.sql(f"SELECT count(*) FROM (({have}) EXCEPT ALL ({minus})) AS difference")
        return int(count)


def _without(these: Any, those: Any) -> Counter[Any]:
    """What is in one outcome's part and not in the other's."""
    counted = [Counter(part.items()) if type(part) is dict else Counter(part) for part in (these, those)]
    return counted[0] - counted[1]
