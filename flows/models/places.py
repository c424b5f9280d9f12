"""The city nearest to a coordinate, by reverse_geocode: 155,000 places of GeoNames, shipped in its package."""

from __future__ import annotations

import threading

import polars as pl

from flows.models import per_distinct

MODULE = "reverse_geocode"
PLACE = pl.Struct({"country": pl.String, "region": pl.String, "city": pl.String})

_loading = threading.Lock()
_NAMES = {"country": "country_code", "region": "state", "city": "city"}


def nearest_places(coordinates: pl.DataFrame) -> pl.Series:
    """For (`lat`, `lon`) in degrees, as Float64: the place (PLACE); null where one is null or cannot be a degree."""
    valid = pl.col("lat").is_between(-90, 90) & pl.col("lon").is_between(-180, 180)
    given = coordinates.select(pl.when(valid).then(pl.col(name)).alias(name) for name in ("lat", "lon"))
    return per_distinct(given, _nearest, PLACE)


def _nearest(coordinates: pl.DataFrame) -> pl.Series:
    import reverse_geocode

    with _loading:  # its data is loaded by the first call, and by every one that comes meanwhile
        found = reverse_geocode.search(coordinates.rows())
    return pl.DataFrame(
        {part: [place.get(name) for place in found] for part, name in _NAMES.items()}, schema=PLACE.to_schema()
    ).to_struct("place")
