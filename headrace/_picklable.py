"""The base class of errors that may come back from another process."""

from __future__ import annotations

from typing import Any


class PicklableError(Exception):
    """An error that is the same after pickling, whatever arguments its class takes. Exceptions are otherwise made again
    from their text alone, which fails for a class with other arguments, and with it the process pool that waits."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, dict(self.__dict__))


def _made_again(kind: type[PicklableError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PicklableError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
