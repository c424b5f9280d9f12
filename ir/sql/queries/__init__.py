"""The queries of the op `sql`: one SELECT in DuckDB's dialect, checked and written again."""
