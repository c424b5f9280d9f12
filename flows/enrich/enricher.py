"""Asks a provider for a batch of rows: each distinct question once, in parallel, with a cache of answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.datatypes import polars_dtype
from headrace.flows.enrich.client import ProviderClient, RequestRefused
from headrace.flows.enrich.provider import Answer, Inputs, Provider, ProviderAccess, Unanswered
from headrace.ir.providers import ProviderConfig
from headrace.ir.schema import EXPECTED, Field

CACHED_ROWS = 200_000
CACHED_BYTES = 64 * 1024 * 1024
"""Size of the cache of a node's answers in a process; CACHED_BYTES counts texts only."""

VALUE, REASON, DETAIL = "value", "reason", "detail"
_ANSWER = pl.Schema({"__answer": pl.String, "__reason": pl.String, "__detail": pl.String, "__passing": pl.Boolean})


def answer_dtype(output: Field) -> pl.Struct:
    """The type of the results of `Enricher`: the value as the field's type, or the reason why there is none."""
    return pl.Struct({VALUE: polars_dtype(output), REASON: pl.String, DETAIL: pl.String})


class Enricher:
    """Asks for one node, for all partitions in this process. Batches take turns, so that two partitions never ask the
    same question and a provider never has more connections than `maxConnections`."""

    def __init__(
        self,
        node: str,
        provider: Provider,
        config: ProviderConfig,
        output: Field,
        *,
        secret: str | None,
        providers: ProviderAccess,
    ) -> None:
        self._node, self._provider, self._config, self._output = node, provider, config, output
        self._line, self._providers = ProviderClient(config, secret, providers), providers
        self._turn = threading.Lock()
        self._known: pl.DataFrame | None = None

    def __call__(self, inputs: pl.Series) -> pl.Series:
        """Maps structs of the input fields to results of type `answer_dtype`. Rows whose fields are all null are not
        asked         and have neither value nor reason. Raises SourceError and Interrupted."""
        rows = inputs.struct.unnest()
        questions = rows.filter(~pl.all_horizontal(pl.all().is_null())).unique(maintain_order=True)
        with self._turn:
            found = self._found(questions)
        replied = rows.join(found, on=rows.columns, how="left", nulls_equal=True, maintain_order="left")
        value, unreadable = cast_text(replied.get_column("__answer"), self._output)
        reason = replied.get_column("__reason")
        if unreadable is not None:
            said = f"{EXPECTED[self._output.data_type]} as the answer"
            reason = reason.set(unreadable, said)
            self._providers.reasons[self._node] = said
        given = {VALUE: value, REASON: reason, DETAIL: replied.get_column("__detail")}
        return pl.DataFrame(given).to_struct(inputs.name)

    def _found(self, questions: pl.DataFrame) -> pl.DataFrame:
        """The questions with their answers, from the cache or the provider."""
        by = questions.columns
        if self._known is None:
            self._known = questions.clear().with_columns(pl.lit(None, t).alias(n) for n, t in _ANSWER.items())
        known = questions.join(self._known, on=by, how="inner", nulls_equal=True)
        new = questions.join(self._known, on=by, how="anti", nulls_equal=True, maintain_order="left")
        if new.is_empty():
            return known
        asked = pl.concat([new, self._asked(new.to_dicts())], how="horizontal")
        learnt = pl.concat([self._known, asked.filter(~pl.col("__passing"))], rechunk=True).tail(CACHED_ROWS)
        size = pl.sum_horizontal(pl.col(pl.String).str.len_bytes().cast(pl.Int64)).cum_sum(reverse=True)
        self._known = learnt.filter(size <= CACHED_BYTES)
        return pl.concat([known, asked])

    def _asked(self, questions: list[dict[str, Any]]) -> pl.DataFrame:
        """Asks the provider; answers are in the order of the questions."""
        with (
            self._line,
            ThreadPoolExecutor(self._config.max_connections, thread_name_prefix=f"ask-{self._node}") as pool,
        ):
            size = self._provider.together
            pending: list[Future[list[Answer]]] = [
                pool.submit(self._replies, questions[start : start + size]) for start in range(0, len(questions), size)
            ]
            try:
                answers = [answer for future in pending for answer in future.result()]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return pl.DataFrame([_row(answer) for answer in answers], schema=_ANSWER, orient="row")

    def _replies(self, questions: Sequence[Inputs]) -> list[Answer]:
        try:
            return self._provider.answers(self._line.ask(self._provider.request(questions)), questions)
        except RecursionError:
            return [Unanswered("the answer is nested too deeply")] * len(questions)
        except Unanswered as error:
            if isinstance(error, RequestRefused) and len(questions) > 1:
                # The provider may refuse only one of them.
                middle = len(questions) // 2
                return [*self._replies(questions[:middle]), *self._replies(questions[middle:])]
            self._providers.reasons[self._node] = error.reason
            if self._config.on_error == "abort":
                self._line.close_down(error.reason)
            return [error] * len(questions)


def _row(answer: Answer) -> tuple[str | None, str | None, str | None, bool]:
    if isinstance(answer, Unanswered):
        return None, answer.reason, answer.detail or None, answer.passing
    return answer, None, None, False
