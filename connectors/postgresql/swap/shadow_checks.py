"""The catalog queries that say whether a table can be replaced, and whether its shadow table is like it."""

# ruff: noqa: S608 - the pieces of SQL that are put together are all in this package
from __future__ import annotations

from typing import LiteralString

from headrace.connectors.postgresql.swap.shadow_ddl import TABLE

SHAPE: LiteralString = """
SELECT concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                 a.attcollation, a.attstorage, a.attcompression, pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT concat_ws(' ', conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid = %(oid)s::oid AND contype = 'c'
ORDER BY 1
"""
"""The properties that `LIKE` copies, for comparison."""

IDENTITIES: LiteralString = """
SELECT s.relname::text, d.objid::regclass::text, pg_get_serial_sequence(%(new)s::text, a.attname), q.seqincrement
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s::oid
  AND d.deptype = 'i' ORDER BY a.attnum
"""
"""For each identity sequence: name and qualified name of the table's, qualified name of the shadow table's,
increment."""

DEFAULT_GRANTS: LiteralString = """
SELECT DISTINCT format('REVOKE ALL ON TABLE %%s FROM %%s', %(new)s::text,
  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass(%(new)s::text) AND a.grantee <> c.relowner
"""
"""Revokes what ALTER DEFAULT PRIVILEGES granted to others than the owner, who still has to load the table."""

OBSTACLES: LiteralString = (
    TABLE
    + """
, here AS (
  SELECT 'pg_class'::regclass AS class, oid FROM t
  UNION ALL SELECT 'pg_type'::regclass, y.oid FROM t JOIN pg_type y ON y.typrelid = t.oid
  UNION ALL SELECT 'pg_type'::regclass, y.typarray FROM t JOIN pg_type y ON y.typrelid = t.oid
)
SELECT 'its being partitioned' FROM t WHERE relkind = 'p'
UNION ALL SELECT 'its being a foreign table' FROM t WHERE relkind = 'f'
UNION ALL SELECT 'its being a partition of ' || inhparent::regclass FROM t JOIN pg_inherits ON inhrelid = t.oid
  WHERE relispartition
UNION ALL SELECT 'its inheriting from ' || inhparent::regclass FROM t JOIN pg_inherits ON inhrelid = t.oid
  WHERE NOT relispartition
UNION ALL SELECT 'table ' || inhrelid::regclass || ', which inherits from it' FROM t
  JOIN pg_inherits ON inhparent = t.oid WHERE relkind <> 'p'
UNION ALL SELECT 'its being of type ' || reloftype::regtype FROM t WHERE reloftype <> 0
UNION ALL SELECT format('foreign key "%%s" to itself', conname) FROM t JOIN pg_constraint ON conrelid = t.oid
  WHERE contype = 'f' AND confrelid = conrelid
UNION ALL SELECT format('foreign key "%%s" of %%s', conname, conrelid::regclass) FROM t
  JOIN pg_constraint ON confrelid = t.oid WHERE contype = 'f' AND confrelid <> conrelid AND conparentid = 0
UNION ALL SELECT format('rule "%%s"', rulename) FROM t JOIN pg_rewrite ON ev_class = t.oid
UNION ALL SELECT 'publication ' || pubname || ', which another user owns' FROM pg_publication_rel
  JOIN pg_publication p ON p.oid = prpubid WHERE prrelid = %(oid)s::oid AND NOT pg_has_role(pubowner, 'USAGE')
UNION ALL
SELECT DISTINCT coalesce((SELECT pg_describe_object('pg_class'::regclass, ev_class, 0) FROM pg_rewrite r
                          WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid),
                         pg_describe_object(d.classid, d.objid, d.objsubid))
FROM pg_depend d JOIN here ON d.refclassid = here.class AND d.refobjid = here.oid
WHERE d.deptype = 'n' AND d.classid NOT IN ('pg_constraint'::regclass, 'pg_publication_rel'::regclass)
  AND NOT EXISTS (SELECT FROM pg_attrdef o WHERE (o.tableoid, o.oid, o.adrelid) = (d.classid, d.objid, %(oid)s::oid))
  AND NOT EXISTS (SELECT FROM pg_policy o WHERE (o.tableoid, o.oid, o.polrelid) = (d.classid, d.objid, %(oid)s::oid))
  AND NOT EXISTS (SELECT FROM pg_trigger o WHERE (o.tableoid, o.oid, o.tgrelid) = (d.classid, d.objid, %(oid)s::oid))
  AND NOT EXISTS (SELECT FROM pg_statistic_ext o
                  WHERE (o.tableoid, o.oid, o.stxrelid) = (d.classid, d.objid, %(oid)s::oid))
  AND NOT EXISTS (SELECT FROM pg_rewrite o WHERE (o.tableoid, o.oid, o.ev_class) = (d.classid, d.objid, %(oid)s::oid))
  AND NOT EXISTS (SELECT FROM pg_index o WHERE d.classid = 'pg_class'::regclass
                  AND (o.indexrelid, o.indrelid) = (d.objid, %(oid)s::oid))
"""
)
"""The properties that prevent the table from being replaced, as text."""
