"""The `config` of a source node that reads what was sent to a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.messages.formats import check_options
from headrace.connectors.messages.settings import MessageSettings
from headrace.connectors.specs.base import problems_of
from headrace.connectors.webhook.metadata import METADATA
from headrace.ir.problems import Problem, fault


class WebhookSettings(MessageSettings):
    """The source config of a webhook: the format of the bodies."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    start_at: Literal["earliest", "latest"] = "earliest"
    """Where the first run begins: with the oldest record that is still kept, or with the first that comes after it."""
    on_missing_offsets: Literal["fail", "earliest"] = "fail"
    """What a run does if records that it has to read were removed: fail, or continue with the oldest."""

    @model_validator(mode="after")
    def _known(self) -> WebhookSettings:
        for name in self.metadata:
            if name not in METADATA:
                raise fault("bad_option", f"a record has no metadata '{name}'", f"choose from {', '.join(METADATA)}")
        if self.options.get("registry"):
            raise fault("bad_option", "a webhook has no schema registry", "give options.schema")
        if self.tombstones != "error" or self.key is not None:
            hint = "remove 'tombstones' and 'key'; metadata.key is the idempotency key"
            raise fault("bad_option", "a record always has a body, so that it is no tombstone", hint)
        return self


def settings_of(config: Mapping[str, Any]) -> WebhookSettings:
    """A node's config. Raises SourceError(`bad_option`)."""
    if found := problems(config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return WebhookSettings.model_validate(dict(config))


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    if found := problems_of(WebhookSettings, dict(config)):
        return found
    try:
        check_options(WebhookSettings.model_validate(dict(config)))
    except SourceError as error:
        return [Problem("config.options", error.code, error.message.rstrip("."), error.hint)]
    return []
