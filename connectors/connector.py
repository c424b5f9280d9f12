"""The interface of a connector: one object that holds everything about it.

A new system is one module or folder with a `Connector` in it and one name in `connectors.registry.BUILT_IN`; a third
party's is found by the entry-point group `headrace.connectors`. Its functions import the system's library when they are
called, never before: the process that forks the runs must not have used it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.connectors.source import Closing, Source, StreamFound
from headrace.connectors.specs.base import Config
from headrace.ir.problems import Problem, nearest
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to the server and the tenant rather than to a connector."""

    files_root: FilesRoot
    """The tenant's files folder."""
    networks: Sequence[Network] = ()
    """Those besides the public internet that may be dialled."""
    role_buckets: Sequence[str] = ()
    """The buckets for which the server's own role in its cloud is lent."""
    scratch: Path | None = None
    """The folder for copies of what lies elsewhere; the system's own for temporary files unless given."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connector's record. `credentials` are in the clear, and only those that connecting is for."""

    id: str
    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What a source is opened with. `settings` is the node's config, with the run's parameters filled in; `fields` are
    the columns that it declares."""

    connection: Connection
    surroundings: Surroundings
    settings: Mapping[str, Any] = field(default_factory=dict)
    fields: Schema = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a connection test saw: a sentence, and some of what is there as JSON."""

    message: str
    sample: Mapping[str, Any]


class DatasetName(NamedTuple):
    """A dataset by OpenLineage's rules: the namespace is the system it is in. Neither holds a credential."""

    namespace: str
    name: str


def no_problems(settings: Mapping[str, Any]) -> list[Problem]:
    """Nothing can be said before anything is looked at."""
    del settings
    return []


@dataclass(frozen=True, slots=True)
class Connector:
    """One system that rows come from."""

    name: str
    """What a source node calls it: `s3`."""
    types: tuple[str, ...]
    """The types of connector records that it reads through: `aws_s3`."""
    check: Callable[[Context], Found]
    """Connects as a run would, looks and changes nothing; `settings` are none. Raises SourceError."""
    open: Callable[[Context], Source] | None = None
    """The source of a node; raises SourceError. None: it can be tried, and does not read yet."""
    settings: type[Config] | None = None
    """What a source node's `config` may hold, for editors and the reference."""
    problems: Callable[[Mapping[str, Any]], list[Problem]] = no_problems
    """What is wrong with a config, as far as that shows when it is saved; paths begin with `config`."""
    dataset: Callable[[Context], DatasetName] | None = None
    """What lineage calls it; by the record's id and what is read of it unless given."""
    streams: Callable[[Context, str], Sequence[StreamFound]] | None = None
    """What the connection can be read for, those whose name contains a text (all for an empty one), without columns;
    raises SourceError."""
    stream: Callable[[Context], StreamFound] | None = None
    """One of them, by `settings`, with its columns; by opening the source unless given. Raises SourceError."""
    stream_setting: str | None = None
    """The setting of a source node that names one of them: `table`."""
    files: bool = False
    """Its sources are files, which a run can take and put away."""
    any_type: bool = False
    """It does without a record of its own type."""
    extra: str | None = None
    """What has to be installed besides: `pip install 'headrace[s3]'`."""

    def source(self, context: Context) -> Source:
        """The source of a node. Raises SourceError: `wrong_connection`, `not_installed`, and others."""
        assert self.open is not None
        found = context.connection
        if found.type not in self.types and not self.any_type:
            raise SourceError(
                "wrong_connection",
                f"'{self.name}' reads through a connector of type {' or '.join(self.types)}; {found.id} is of type "
                f"{found.type}.",
                "Name another one in the source's `connection`, or change the pipeline's connectorId.",
            )
        with self.installed():
            return self.open(context)

    def tried(self, context: Context) -> Found:
        """What a connection test finds. Raises SourceError."""
        with self.installed():
            return self.check(context)

    def listed(self, context: Context, text: str = "") -> list[StreamFound]:
        """What the connection can be read for, by name: `streams`. Raises SourceError, `not_listed` where the connector
        has no list."""
        if self.streams is None:
            raise SourceError(
                "not_listed",
                f"The connector '{self.name}' does not list what it can be read for.",
                "Name it in the source's `config`.",
            )
        with self.installed():
            return sorted(self.streams(context, text), key=lambda each: each.name)

    def described(self, context: Context, name: str) -> StreamFound:
        """One of `listed` by its whole name, with its columns. Raises SourceError, `unknown_stream` with similar
        names."""
        candidates = self.listed(context, name)
        found = next((each for each in candidates if each.name == name), None)
        if found is None:
            around = candidates or self.listed(context, name[: name.rstrip("/").rfind("/") + 1])
            names = [each.name for each in around]
            hint = nearest(name, names) or "List them without a name."
            raise SourceError("unknown_stream", f"There is no '{name}' that the connection can be read for.", hint)
        return self.described_as(context, found)

    def described_as(self, context: Context, found: StreamFound) -> StreamFound:
        """One of `listed`, with its columns. Raises SourceError."""
        asked = replace(context, settings=found.settings)
        with self.installed():
            seen = self.stream(asked) if self.stream is not None else self._looked_at(found, asked)
        return replace(seen, name=found.name, settings=found.settings)

    def _looked_at(self, found: StreamFound, context: Context) -> StreamFound:
        source = self.source(context)
        try:
            seen = source.discover(max_partitions=1)
            return replace(found, fields=seen.schema, guessed=seen.guessed)
        finally:
            if isinstance(source, Closing):
                source.close()

    def installed(self) -> _Installed:
        """Says which extra is missing, where a library is."""
        return _Installed(self)


class _Installed:
    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ModuleNotFoundError) and self._connector.extra is not None:
            raise SourceError(
                "not_installed",
                f"The connector '{self._connector.name}' needs the module {error.name}, which is not installed here.",
                f"pip install 'headrace[{self._connector.extra}]' where the worker and the API run.",
            ) from None
