"""Databricks as a source: tables, views and queries of a SQL warehouse, as Arrow."""
