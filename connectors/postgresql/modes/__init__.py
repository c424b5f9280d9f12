"""The load modes by their IR name. A new mode is one module here and one line in MODES."""

from __future__ import annotations

from connectors.postgresql.modes.append import Append
from connectors.postgresql.modes.base import LoadMode
from connectors.postgresql.modes.blue_green import BlueGreen
from connectors.postgresql.modes.cdc_mirror import CdcMirror
from connectors.postgresql.modes.incremental import IncrementalWatermark
from connectors.postgresql.modes.replace import Replace, Truncate
from connectors.postgresql.modes.scd2 import Scd2
from connectors.postgresql.modes.upsert import Upsert
from connectors.postgresql.spec import LoadSpec, RetryPolicy

MODES: dict[str, type[LoadMode]] = {
    "append": Append,
    "replace": Replace,
    "truncate": Truncate,
    "blue_green": BlueGreen,
    "upsert": Upsert,
    "scd2": Scd2,
    "cdc_mirror": CdcMirror,
    "incremental_watermark": IncrementalWatermark,
}

__all__ = ["MODES", "Append", "LoadMode", "LoadSpec", "RetryPolicy"]
