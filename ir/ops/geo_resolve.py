"""`geo_resolve`: the place nearest to a coordinate."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ir.base import ColumnName, Doc
from ir.ops.base import OpBase
from ir.problems import fault


class PlaceColumns(Doc):
    """The columns for the place's `country` (ISO 3166 alpha-2 code), `region` and `city`; what has none is left out."""

    country: ColumnName | None = None
    """For the ISO 3166 code."""
    region: ColumnName | None = None
    """For the state or province."""
    city: ColumnName | None = None
    """For the place's name."""

    @property
    def named(self) -> dict[str, str]:
        """Part of the place → its column."""
        return {part: name for part in ("country", "region", "city") if (name := getattr(self, part)) is not None}

    @model_validator(mode="after")
    def _some_and_distinct(self) -> PlaceColumns:
        names = list(self.named.values())
        if not names or len(set(names)) < len(names):
            hint = "for example {'country': 'country', 'city': 'city'}"
            raise fault("place_columns", "'to' names a column for country, region or city, each its own", hint)
        return self


class GeoResolve(OpBase):
    """Finds the city nearest to (`lat`, `lon`), in degrees, and writes what `to` names. A coordinate that cannot be
    one sends its row to the errors (`quarantine`), gives nulls (`null`) or fails the run (`abort`); null gives nulls.
    Needs the extra `headrace[models]`."""

    type: Literal["geo_resolve"]
    lat: ColumnName
    """The column of the latitude."""
    lon: ColumnName
    """The column of the longitude."""
    to: PlaceColumns
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What becomes of what is no coordinate."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(self.to.named.values())
