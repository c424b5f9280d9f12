"""The queries of the op `sql`, in DuckDB: typed without running them, and run within limits.

Queries are validated and written again from their tree by `ir.sql.queries.query`. DuckDB is locked down as well: no
files, no network, no extensions, no settings, no access to Python variables, and limits for memory, threads and disk
space.
"""

from headrace.flows.query.execute import QueryFailed, QueryStopped, run
from headrace.flows.query.limits import QUERY_LIMITS, QueryLimits
from headrace.flows.query.result_types import result_columns

__all__ = ["QUERY_LIMITS", "QueryFailed", "QueryLimits", "QueryStopped", "result_columns", "run"]
