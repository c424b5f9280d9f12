"""The providers of `enrich` nodes: the models of their `config`.

`flows.enrich` sends the requests.
"""

from __future__ import annotations

from headrace.ir.providers.configs import GeocodeConfig, HttpConfig, LlmTagConfig, MlScoreConfig, ProviderConfig

CONFIGS: dict[str, type[ProviderConfig]] = {
    "llm_tag": LlmTagConfig,
    "geocode": GeocodeConfig,
    "ml_score": MlScoreConfig,
    "http": HttpConfig,
}
"""Config models by provider."""

__all__ = ["CONFIGS", "GeocodeConfig", "HttpConfig", "LlmTagConfig", "MlScoreConfig", "ProviderConfig"]
