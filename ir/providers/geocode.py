"""`geocode`: where an address is."""

from __future__ import annotations

from typing import ClassVar

from ir.datatypes import DataType
from ir.providers.base import Pointer, ProviderConfig, UrlTemplate


class GeocodeConfig(ProviderConfig):
    """Asks a geocoder that answers as Nominatim, OpenCage, Google or in GeoJSON (Photon, Mapbox, Pelias), and takes its
    first place: `{"lat": …, "lon": …, "address": …}`, or what `pointer` names of that (`/lat`). An address that it does
    not know gives null."""

    asks_by_template: ClassVar[bool] = True
    url: UrlTemplate
    """With `{field}` in its path or query."""
    pointer: Pointer = ""
    """What of the place is taken (RFC 6901)."""
    data_type: DataType = "json"
    """What an answer is read as."""
