"""The load modes by their IR name. A new mode is one module here and one line in MODES."""

from __future__ import annotations

from headrace.connectors.postgresql.load.spec import LoadSpec, RetryPolicy
from headrace.connectors.postgresql.modes.append import Append
from headrace.connectors.postgresql.modes.base import LoadMode
from headrace.connectors.postgresql.modes.blue_green import BlueGreen
from headrace.connectors.postgresql.modes.cdc_mirror import CdcMirror
from headrace.connectors.postgresql.modes.incremental import IncrementalWatermark
from headrace.connectors.postgresql.modes.replace import Replace, Truncate
from headrace.connectors.postgresql.modes.scd2 import Scd2
from headrace.connectors.postgresql.modes.upsert import Upsert

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
