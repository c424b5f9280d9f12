"""Formats of a job's call, its answer and its verdict, as passed between the API and a child process.

The call is a pickle that only the API writes. Answers are read as bytes and JSON and never unpickled: a child has
processed untrusted files and responses.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.connectors.errors import SourceError, TargetError
from headrace.flows.runtime.errors import PlanFailed
from headrace.ir.problems import Problem

MAX_ANSWER_BYTES = 32 * 1024**2

ORDER = struct.Struct("!dQ")
"""From the API to the fork server, with four descriptors: a job's limits in seconds and bytes."""

_ANSWER, _ERROR, _FAULT, _MEMORY, _TOO_LONG = b"a", b"e", b"f", b"m", b"l"


class AllocationFailed(Exception):
    """The child reported a failed allocation."""


class AnswerTooLong(Exception):
    """The answer is larger than MAX_ANSWER_BYTES."""


class Fault(Exception):
    """An unexpected exception in a child; the text is its traceback."""


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended: its return code, negative for a signal; why it was killed (`memory`, `time`, `gone`), if it
    was; its peak memory in bytes beyond that at the fork; the node it worked on; the end of its output."""

    code: int
    killed: str | None
    peak: int
    node: str
    printed: str

    @property
    def out_of_memory(self) -> bool:
        """Whether it was killed for its memory, or aborted because an allocation failed."""
        reported = any(word in self.printed for word in ("memory allocation of", "bad_alloc", "MemoryError"))
        return self.killed == "memory" or (self.killed is None and self.code < 0 and reported)

    def as_json(self) -> bytes:
        """The verdict as JSON, for the API."""
        fields = (self.code, self.killed, self.peak, self.node, self.printed)
        return json.dumps(fields).encode()

    @classmethod
    def parse(cls, text: bytes) -> ChildExit:
        """Parses the result of `as_json`."""
        code, killed, peak, node, printed = json.loads(text)
        return cls(int(code), killed and str(killed), int(peak), str(node), str(printed))


def pack_call(work: Callable[..., bytes], arguments: tuple[Any, ...]) -> bytes:
    """Encodes a call for a child. `work` is a module-level function, `arguments` must be picklable."""
    return pickle.dumps((work.__module__, work.__qualname__, arguments), pickle.HIGHEST_PROTOCOL)


def run_call(request: int, answer: int) -> None:
    """In the child: reads the call from one file, executes it, and writes the result or error to the other."""
    with open(request, "rb", closefd=False) as file:
        module, name, arguments = pickle.load(file)  # noqa: S301 (written by the facade, into a file without a name)
    try:
        result: bytes = getattr(importlib.import_module(module), name)(*arguments)
        kind = _ANSWER
        if len(result) > MAX_ANSWER_BYTES:
            kind, result = _TOO_LONG, b""
    except MemoryError:
        kind, result = _MEMORY, b""
    except (PlanFailed, SourceError, TargetError) as error:
        kind, result = _ERROR, json.dumps(_error_fields(error)).encode()
    except Exception:  # noqa: BLE001 (sent to the API, which raises it)
        text = traceback.format_exc()
        # pyarrow and duckdb have their own errors for a failed allocation
        lacks = "ArrowMemoryError" in text or "OutOfMemoryException" in text
        kind, result = (_MEMORY, b"") if lacks else (_FAULT, text[-8000:].encode(errors="replace"))
    with open(answer, "wb", closefd=False) as file:
        file.write(kind + result)


def read_answer(answer: int) -> bytes:
    """In the API: reads the answer. Raises what the work raised (PlanFailed, SourceError, TargetError), NoMemoryLeft,
    AnswerTooLong, or Fault."""
    size = os.fstat(answer).st_size
    if size > MAX_ANSWER_BYTES + 1:
        raise AnswerTooLong
    with open(answer, "rb", closefd=False) as file:
        file.seek(0)
        kind, result = file.read(1), file.read()
    if kind == _ANSWER:
        return result
    if kind == _MEMORY:
        raise AllocationFailed
    if kind == _TOO_LONG:
        raise AnswerTooLong
    if kind == _ERROR:
        raise _error_from(json.loads(result))
    raise Fault(result.decode(errors="replace"))


def _error_fields(error: PlanFailed | SourceError | TargetError) -> dict[str, Any]:
    if isinstance(error, PlanFailed):
        return {"plan": [[each.path, each.code, each.message, each.hint] for each in error.problems]}
    kind = "source" if isinstance(error, SourceError) else "target"
    return {kind: [error.code, error.message, error.hint]}


def _error_from(reported: dict[str, Any]) -> Exception:
    ((kind, fields),) = reported.items()
    if kind == "plan":
        return PlanFailed(Problem(*map(str, each)) for each in fields)
    code, message, hint = map(str, fields)
    return SourceError(code, message, hint) if kind == "source" else TargetError(code, message, hint)
