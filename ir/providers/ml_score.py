"""`ml_score`: what a served model predicts for rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.datatypes import DataType
from ir.providers.base import Pointer, ProviderConfig, Url


class MlScoreConfig(ProviderConfig):
    """Posts `{"instances": […]}` and takes `{"predictions": […]}`, as TensorFlow Serving, Vertex AI and KServe (V1) do,
    for `batchSize` values at a time. An instance is an object of the fields, or with `instance: "array"` the list of
    their values. `pointer` leads to the score inside one prediction."""

    url: Url
    """Where the model is served."""
    instance: Literal["object", "array"] = "object"
    """What stands for a row."""
    batch_size: int = Field(default=100, ge=1, le=10_000)
    """Rows in a request."""
    pointer: Pointer = ""
    """What of a prediction is taken (RFC 6901)."""
    data_type: DataType = "double"
    """What a score is read as."""
