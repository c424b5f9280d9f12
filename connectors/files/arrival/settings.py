"""The settings `waitPolicy`, `atomicity` and `settleSeconds` of a file source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import OnMiss, WaitPolicy
from headrace.connectors.files.selection import DATE_PARTS
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.problems import Problem, fault, nearest

SETTLE_SECONDS = 2.0
"""A file that has not changed for this long counts as complete."""

_TEMPLATE = re.compile(r"\{[^}]*\}?|\}")
PARAMETER = re.compile(r"\{\{[^{}]*\}\}")
"""The placeholder of a run parameter."""


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\x00" in text:
        raise fault(
            "bad_folder",
            f"'{text}' is not a folder inside the source's folder",
            "write it relative to the source's folder, without '..', for example .processing/",
        )
    for part in _TEMPLATE.findall(text):
        if part not in DATE_PARTS:
            raise fault("bad_folder", f"'{part}' means nothing here", nearest(part, DATE_PARTS))
    return path.as_posix()


def _undated(folder: str) -> str:
    if "{" in folder:
        raise fault("bad_folder", "the staging folder has no date", "a retry must find it on another day too")
    return folder


Folder = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_folder)]


class WaitPolicySettings(ClosedConfig):
    """`waitPolicy`: `maxRetries` looks after the first one."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    max_retries: int = Field(3, ge=0, le=10_000)
    """How often to look again."""
    interval_minutes: float = Field(5, gt=0, le=1440)
    """Minutes between two looks."""
    on_miss_action: OnMiss = "fail"
    """After the last look: fail the run, complete it with no rows, or complete it with no rows and warn."""


class Atomicity(ClosedConfig):
    """`atomicity`: folders inside the source's folder."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    staging_folder: Annotated[Folder, AfterValidator(_undated)] = ".processing"
    """Where a run moves its files before it reads them."""
    success_folder: Folder = ".archive/{YYYY}/{MM}/{DD}"
    """Where files are moved when their rows are committed."""
    failure_folder: Folder = ".failed"
    """Where files are moved that cannot be read at all."""

    @model_validator(mode="after")
    def _apart(self) -> Atomicity:
        if self.success_folder == self.failure_folder:
            raise fault("bad_folder", "successFolder and failureFolder are the same", "give each its own")
        for name, folder in (("successFolder", self.success_folder), ("failureFolder", self.failure_folder)):
            if PurePosixPath(folder).is_relative_to(self.staging_folder):
                raise fault("bad_folder", f"{name} lies in the staging folder", "give each its own")
        return self


class _Settle(ClosedConfig):
    settle_seconds: float = Field(SETTLE_SECONDS, ge=0, le=3600)


@dataclass(frozen=True, slots=True)
class ArrivalRules:
    """The checked settings. `settle_seconds` is 0 unless it is set or the source waits for or claims files."""

    wait: WaitPolicy | None = None
    atomicity: Atomicity | None = None
    settle_seconds: float = 0.0

    @property
    def any(self) -> bool:
        """Whether any of these settings is used."""
        return self.wait is not None or self.atomicity is not None or self.settle_seconds > 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ArrivalRules:
        """Raises SourceError(`bad_option`) for the first problem."""
        for problem in arrival_problems(config, filled_in=True):
            raise SourceError("bad_option", f"{problem.path}: {problem.message}.", problem.hint)
        wait = None
        if config.get("waitPolicy") is not None:
            given = WaitPolicySettings.model_validate(config["waitPolicy"])
            wait = WaitPolicy(given.max_retries, given.interval_minutes * 60, given.on_miss_action)
        folders = config.get("atomicity")
        atomicity = None if folders is None else Atomicity.model_validate(folders)
        settle = config.get("settleSeconds")
        default = SETTLE_SECONDS if wait is not None or atomicity is not None else 0.0
        return cls(wait, atomicity, default if settle is None else float(settle))


def arrival_problems(config: Mapping[str, Any], *, filled_in: bool = False) -> list[Problem]:
    """The problems of these settings. Unless parameters are `filled_in`, texts with a placeholder (`{{name}}`) are
    skipped."""
    problems: list[Problem] = []
    for name, model in (("waitPolicy", WaitPolicySettings), ("atomicity", Atomicity)):
        if config.get(name) is not None:
            settings = config[name] if filled_in else _known(config[name])
            problems += problems_of(model, settings, path=f"config.{name}")
    if config.get("settleSeconds") is not None:
        settle = {"settleSeconds": config["settleSeconds"]}
        problems += problems_of(_Settle, settle if filled_in else _known(settle))
    return problems


def _known(settings: object) -> object:
    if not isinstance(settings, Mapping):
        return settings
    return {key: value for key, value in settings.items() if not (isinstance(value, str) and PARAMETER.search(value))}
