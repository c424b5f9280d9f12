"""A loader behind a load mode's own view of a batch: which rows it wants at all, and how refused ones are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from connectors.base import CommitCallback, PartitionLoader, Quarantined, Resume, Written

Frames = Callable[[pl.DataFrame], pl.DataFrame]


class Sifted:
    """`loader`, which is given what `keep` leaves of a batch; the rest counts as skipped. `told` is applied to the
    rejects (REJECT_SCHEMA)."""

    def __init__(self, loader: PartitionLoader, *, told: Frames, keep: Frames | None = None) -> None:
        self._loader, self._told, self._keep = loader, told, keep

    @property
    def resume(self) -> Resume:
        """See PartitionLoader."""
        return self._loader.resume

    def __enter__(self) -> PartitionLoader:
        self._loader.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loader.__exit__(*exc)

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """See PartitionLoader."""
        kept = frame if self._keep is None else self._keep(frame)
        skipped = frame.height - kept.height

        def on_kept(written: Written) -> Resume:
            rejects = self._told(written.rejects)
            return on_commit(replace(written, rejects=rejects, skipped=written.skipped + skipped))

        return self._loader.write(kept, on_kept, quarantined)
