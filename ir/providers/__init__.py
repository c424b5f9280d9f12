"""Every provider that an `enrich` node may ask: the models of their `config`, one module each.

How one is asked stands in `flows.enrich`, in a module of the same name.
"""

from __future__ import annotations

from ir.providers.base import ProviderConfig
from ir.providers.geocode import GeocodeConfig
from ir.providers.http import HttpConfig
from ir.providers.llm_tag import LlmTagConfig
from ir.providers.ml_score import MlScoreConfig

CONFIGS: dict[str, type[ProviderConfig]] = {
    "llm_tag": LlmTagConfig,
    "geocode": GeocodeConfig,
    "ml_score": MlScoreConfig,
    "http": HttpConfig,
}
"""Config models by provider."""

__all__ = ["CONFIGS", "GeocodeConfig", "HttpConfig", "LlmTagConfig", "MlScoreConfig", "ProviderConfig"]
