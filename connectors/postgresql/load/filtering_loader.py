"""A loader that filters the rows of a batch before, and rewrites the rejects after, another loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from headrace.connectors.target import CommitCallback, PartitionLoader, Quarantined, Resume, Written

Frames = Callable[[pl.DataFrame], pl.DataFrame]


class FilteringLoader:
    """Passes the rows that `keep` returns on to `loader`; the others count as skipped. `rewrite_rejects` rewrites the
    rejects (REJECT_SCHEMA)."""

    def __init__(self, loader: PartitionLoader, *, rewrite_rejects: Frames, keep: Frames | None = None) -> None:
        self._loader, self._rewrite_rejects, self._keep = loader, rewrite_rejects, keep

    @property
    def resume(self) -> Resume:
        return self._loader.resume

    def __enter__(self) -> PartitionLoader:
        self._loader.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loader.__exit__(*exc)

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        kept = frame if self._keep is None else self._keep(frame)
        skipped = frame.height - kept.height

        def on_kept(written: Written) -> Resume:
            rejects = self._rewrite_rejects(written.rejects)
            return on_commit(replace(written, rejects=rejects, skipped=written.skipped + skipped))

        return self._loader.write(kept, on_kept, quarantined)
