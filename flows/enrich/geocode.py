"""`geocode`: the first place that a geocoder names, whichever of the usual shapes it answers in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.enrich.base import Answer, Inputs, Request, Unanswered, at, filled_in, typed
from ir.providers import GeocodeConfig

_SHAPES = (
    # where the list of places is, then latitude, longitude and address in one of them
    ("", "/lat", "/lon", "/display_name"),  # Nominatim
    ("/results", "/geometry/lat", "/geometry/lng", "/formatted"),  # OpenCage
    ("/results", "/geometry/location/lat", "/geometry/location/lng", "/formatted_address"),  # Google
    ("/features", "/geometry/coordinates/1", "/geometry/coordinates/0", ""),  # GeoJSON
)
_NAMES = ("display_name", "place_name", "label", "full_address", "name")


class Geocode:
    """See Provider."""

    together = 1

    def __init__(self, config: GeocodeConfig) -> None:
        self._config = config

    def request(self, questions: Sequence[Inputs]) -> Request:
        """The fields in the URL."""
        return Request("GET", filled_in(self._config.url, questions[0]))

    def answers(self, said: Any, questions: Sequence[Inputs]) -> list[Answer]:
        """The first place, or None where there is none."""
        for inside, lat, lon, address in _SHAPES:
            places = at(said, inside)
            if not isinstance(places, list):
                continue
            if not places:
                return [None]
            found = [_number(at(places[0], pointer)) for pointer in (lat, lon)]
            if None not in found:
                named = at(places[0], address) if address else _label(places[0])
                place = {"lat": found[0], "lon": found[1], "address": named if isinstance(named, str) else None}
                return [typed(self._config, self._config.pointer, place)]
        raise Unanswered("the answer is not that of a geocoder")


def _number(value: Any) -> float | None:
    """Degrees, which some write as text."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _label(feature: Any) -> Any:
    properties = at(feature, "/properties")
    every = {**feature, **(properties if isinstance(properties, Mapping) else {})}
    return next((every[name] for name in _NAMES if isinstance(every.get(name), str)), None)
