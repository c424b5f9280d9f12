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
from headrace.connectors.specs.base import Config, ConnectorType
from headrace.connectors.webhook.spool import Spool
from headrace.ir.problems import Problem, nearest
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Settings of the server and the tenant that connectors use."""

    files_root: FilesRoot
    """The tenant's files folder."""
    networks: Sequence[Network] = ()
    """Networks that may be connected to besides the public internet."""
    role_buckets: Sequence[str] = ()
    """The buckets that connectors may access with the server's own cloud role."""
    scratch: Path | None = None
    """The folder for copies of remote files; by default the system's folder for temporary files."""
    spool: Spool | None = None
    """What was sent to the connection, where it is a webhook."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connector's record. `credentials` are decrypted, and only those for the connection."""

    id: str
    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a source: the pipeline, by its id, and the source node in it. `runs` is false for plans and previews,
    which may change nothing at the source; `load_modes` are those of the pipeline's targets."""

    pipeline: str
    node: str
    runs: bool = False
    load_modes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Context:
    """The input for opening a source. `settings` is the node's config, with the run's parameters filled in; `fields`
    are its declared columns; `reader` is who opens it, where that is a pipeline."""

    connection: Connection
    surroundings: Surroundings
    settings: Mapping[str, Any] = field(default_factory=dict)
    fields: Schema = ()
    reader: Reader | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a connection test: a sentence, and some of the found objects as JSON."""

    message: str
    sample: Mapping[str, Any]


class DatasetName(NamedTuple):
    """A dataset's name by OpenLineage's rules: the namespace is its system. Neither contains a credential."""

    namespace: str
    name: str


def no_problems(settings: Mapping[str, Any]) -> list[Problem]:
    """No problems: the config is checked when the source is opened."""
    del settings
    return []


def has_cursor(settings: Mapping[str, Any]) -> bool:
    """Whether a source node's config has the setting `cursor`."""
    return settings.get("cursor") is not None


def nothing_kept(settings: Mapping[str, Any]) -> bool:
    """False: runs keep nothing at the server."""
    del settings
    return False


@dataclass(frozen=True, slots=True)
class Connector:
    """A source system."""

    name: str
    """Its name in source nodes: `s3`."""
    types: tuple[str, ...]
    """The types of its connector records: `aws_s3`."""
    check: Callable[[Context], Found]
    """Tests a connection: connects as a run does and changes nothing; `settings` is empty. Raises SourceError."""
    open: Callable[[Context], Source] | None = None
    """Opens the source of a node; raises SourceError. None: the connector can be tested, but not read yet."""
    settings: type[Config] | None = None
    """The model of a source node's `config`, for editors and the reference."""
    problems: Callable[[Mapping[str, Any]], list[Problem]] = no_problems
    """The problems of a config that can be found when it is saved; paths begin with `config`."""
    dataset: Callable[[Context], DatasetName] | None = None
    """The dataset's name in lineage; by default from the record's id and the settings."""
    streams: Callable[[Context, str], Sequence[StreamFound]] | None = None
    """Lists the streams of a connection whose name contains a text (all for an empty text), without columns; raises
    SourceError."""
    stream: Callable[[Context], StreamFound] | None = None
    """Describes one stream, by `settings`, with its columns; by default by opening the source. Raises SourceError."""
    stream_setting: str | None = None
    """The setting of a source node that names a stream: `table`."""
    files: bool = False
    """Whether its sources are files, which a run can claim and archive."""
    continues: Callable[[Mapping[str, Any]], bool] = has_cursor
    """Whether a source with this config continues where the run before ended (`Incremental`), so that it can be
    streamed. A source of files does not, although files that arrive can be claimed by each run."""
    any_type: bool = False
    """It does without a record of its own type."""
    keys: Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, Any]] | None = None
    """The settings of a source that reads only these columns of every row there is now, in one partition, whatever the
    cursor in the given settings: for comparing keys. None: it has no such rows, or they cannot be read again."""
    keeps: Callable[[Mapping[str, Any]], bool] = nothing_kept
    """Whether runs of a source with this config keep something at its server, such as a replication slot."""
    forget: Callable[[Context], Sequence[str]] | None = None
    """Removes what runs of the context's `reader` keep at the server; returns the names of it. Raises SourceError."""
    extra: str | None = None
    """What has to be installed besides: `pip install 'headrace[s3]'`."""
    record_types: tuple[ConnectorType, ...] = ()
    """The types of connector records that a third party's connector brings with it, each named in `types`."""

    def source(self, context: Context) -> Source:
        """Opens the source of a node. Raises SourceError: `wrong_connection`, `not_installed`, and others."""
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
        """Runs a connection test. Raises SourceError."""
        with self.installed():
            return self.check(context)

    def listed(self, context: Context, text: str = "") -> list[StreamFound]:
        """The streams of a connection, by name. Raises SourceError, `not_listed` if the connector has no list."""
        if self.streams is None:
            raise SourceError(
                "not_listed",
                f"The connector '{self.name}' cannot list its streams.",
                "Name it in the source's `config`.",
            )
        with self.installed():
            return sorted(self.streams(context, text), key=lambda each: each.name)

    def described(self, context: Context, name: str, more: Mapping[str, Any] | None = None) -> StreamFound:
        """One of `listed` by its whole name, with its columns; `more` are settings to read it with besides its own.
        Raises SourceError, `unknown_stream` with similar names."""
        candidates = self.listed(context, name)
        found = next((each for each in candidates if each.name == name), None)
        if found is None:
            around = candidates or self.listed(context, name[: name.rstrip("/").rfind("/") + 1])
            names = [each.name for each in around]
            hint = nearest(name, names) or "List them without a name."
            raise SourceError("unknown_stream", f"The connection has no stream '{name}'.", hint)
        return self.described_as(context, replace(found, settings={**found.settings, **(more or {})}))

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
        """Turns a missing library into an error that names the extra."""
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
