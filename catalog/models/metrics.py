"""Totals behind the metrics, kept by triggers as runs and partitions end: a scrape never counts runs."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from catalog.models.base import Base, Big


class RunTotals(Base):
    """Runs that ended with one status, the rows they added, and how long they had waited to start, in seconds."""

    __tablename__ = "run_totals"

    status: Mapped[str] = mapped_column(primary_key=True)
    runs: Mapped[Big] = mapped_column(server_default="0")
    rows_in: Mapped[Big] = mapped_column(server_default="0")
    rows_out: Mapped[Big] = mapped_column(server_default="0")
    failed_rows: Mapped[Big] = mapped_column(server_default="0")
    skipped_rows: Mapped[Big] = mapped_column(server_default="0")
    wait_seconds: Mapped[float] = mapped_column(server_default="0")


class PartitionSeconds(Base):
    """One bucket of a histogram: completed partitions that took no longer than `up_to` seconds, but longer than the
    bucket before."""

    __tablename__ = "partition_seconds"

    up_to: Mapped[float] = mapped_column(primary_key=True)
    partitions: Mapped[Big] = mapped_column(server_default="0")
    seconds: Mapped[float] = mapped_column(server_default="0")
