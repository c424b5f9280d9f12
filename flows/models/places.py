"""The city nearest to a coordinate, by reverse_geocode: 155,000 places of GeoNames, shipped in its package."""

from __future__ import annotations

import polars as pl

from headrace.flows.fork_lock import ForkLock
from headrace.flows.models import per_distinct

MODULE = "reverse_geocode"
PLACE = pl.Struct({"country": pl.String, "region": pl.String, "city": pl.String})

_loading = ForkLock()
_NAMES = {"country": "country_code", "region": "state", "city": "city"}


def nearest_places(coordinates: pl.DataFrame) -> pl.Series:
    """The place (PLACE) nearest to (`lat`, `lon`) in degrees, Float64; null where one is null or out of range."""
    valid = pl.col("lat").is_between(-90, 90) & pl.col("lon").is_between(-180, 180)
    given = coordinates.select(pl.when(valid).then(pl.col(name)).alias(name) for name in ("lat", "lon"))
    return per_distinct(given, _nearest, PLACE)


def _nearest(coordinates: pl.DataFrame) -> pl.Series:
    import reverse_geocode

    with _loading:  # concurrent first calls would each load the data
        found = reverse_geocode.search(coordinates.rows())
    return pl.DataFrame(
        {part: [place.get(name) for place in found] for part, name in _NAMES.items()}, schema=PLACE.to_schema()
    ).to_struct("place")
