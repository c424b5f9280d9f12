"""Totals for metrics, updated by triggers when runs and partitions end, so that a scrape does not count runs."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Big


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
    """A bucket of a histogram: completed partitions that took at most `up_to` seconds, and more than the previous
    bucket's."""

    __tablename__ = "partition_seconds"

    up_to: Mapped[float] = mapped_column(primary_key=True)
    partitions: Mapped[Big] = mapped_column(server_default="0")
    seconds: Mapped[float] = mapped_column(server_default="0")
