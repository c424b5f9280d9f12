"""`llm_tag`: one of several labels for a text, by a language model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from ir.problems import fault
from ir.providers.base import ApiKey, ProviderConfig, Url

Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LlmTagConfig(ProviderConfig):
    """Asks `model` at `url`, chat completions as OpenAI has them, for the one of `labels` that fits the fields best.
    `prompt` says more about the choice. An answer that is none of the labels is none. `apiKey: null` asks without a
    key."""

    url: Url = "https://api.openai.com/v1/chat/completions"
    """Chat completions as OpenAI has them."""
    api_key: ApiKey | None = "${credentials.enrichApiKey}"
    """A credential of the pipeline's connector; null asks without."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The model's name."""
    labels: tuple[Label, ...] = Field(min_length=1, max_length=200)
    """What there is to choose from."""
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = None
    """More about the choice."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise fault("duplicate_label", "'labels' has one twice", "give each label once")
        return labels
