"""Which of JSON and CSV an `Accept` header asks for."""

from __future__ import annotations


def prefers_csv(accept: str) -> bool:
    """Whether `text/csv` is named and JSON is not wanted more; JSON is the default."""
    weights = dict(_weight(part) for part in accept.split(","))
    csv = weights.get("text/csv", weights.get("text/*", 0.0))
    json = weights.get("application/json", weights.get("application/*", 0.0))
    return csv > 0 and csv > json


def _weight(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_type, float(parameter[2:])
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0
