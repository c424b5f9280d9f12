"""The pipeline that the tests of this folder run in their own process."""

from __future__ import annotations

ORDERS = """
kind: pipeline
version: "1.0"
id: orders
metadata: {name: Orders}
errorHandling: {maxErrorRows: 1}
executionConfig: {batchSize: 2, parallelism: 1}
nodes:
- {id: src, kind: source, connector: local_fs, config: {path: orders.csv}}
- id: check
  kind: validate
  input: src
  rowLevel:
  - {id: named, field: name, rule: not_empty}
- {id: tgt, kind: target, input: check, schema: public.ds_orders}
"""
TABLE = "CREATE TABLE public.ds_orders (id bigint, name text, amount numeric(12, 2), _headrace_load_id bigint)"
