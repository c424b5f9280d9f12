"""The SQL of documents: parsed into a tree, checked node by node, written again.

- `expression` parses a scalar expression over one row. Its grammar has no words that begin a query, so no input can be
  parsed as one, whatever its quoting.
- `query` (a module of its own, because its parser is slow to load) checks the SELECT of the op `sql`.

Only the SQL written from the tree runs, never the author's text. This package knows no engine.
"""

from __future__ import annotations

from headrace.ir.sql.errors import Refused
from headrace.ir.sql.expressions.grammar import expression
from headrace.ir.sql.expressions.tree import Tree

__all__ = ["Refused", "Tree", "expression"]
