"""The catalog queries that give the DDL of a shadow table, one statement per row."""

# ruff: noqa: S608 - the pieces of SQL that are put together are all in this module
from __future__ import annotations

from typing import Literal, LiteralString

Step = Literal["make", "complete", "swap", "rename"]


def _new_name(name: LiteralString) -> LiteralString:
    return f"CASE WHEN octet_length({name}) <= 58 THEN {name} || '__new' ELSE 'ix_' || md5({name}::text) || '__new' END"


TABLE: LiteralString = """
WITH t AS (
  SELECT c.*, n.nspname, format('%%I.%%I', n.nspname, c.relname) AS qualified
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s::oid
)
"""
"""The table itself, `t`: what queries begin with."""

_CANNOT_REPEAT: LiteralString = """
  x.indpred IS NULL AND x.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgtype & 7 = 7)
  AND NOT EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey::int2[]) AND NOT (
      a.attidentity <> '' AND a.attname <> ALL (%(filled)s::text[]) AND EXISTS (
        SELECT FROM pg_depend d JOIN pg_sequence q ON q.seqrelid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
          AND (d.refobjid, d.refobjsubid) = (a.attrelid, a.attnum) AND NOT q.seqcycle)))
"""
"""Whether a unique index of the shadow table cannot refuse a row: all its columns are identities that neither the data
nor a trigger fills, and no other session takes numbers from the sequences of a shadow table."""

_INDEX: LiteralString = (
    TABLE
    + """
, i AS (
  SELECT x.*, c.relname AS name, c.reloptions AS options, s.spcname AS space, con.oid AS constraint_oid, con.conname,
         pg_get_indexdef(c.oid) AS def, CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS uniquely,
         x.indisunique AND NOT ("""
    + _CANNOT_REPEAT
    + """) AS checks_rows,
"""
    + _new_name("c.relname")
    + """ AS new_name
  FROM t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class c ON c.oid = x.indexrelid
  LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
  LEFT JOIN pg_constraint con ON con.conindid = c.oid AND con.conrelid = t.oid AND con.contype IN ('p', 'u', 'x')
  WHERE x.indisvalid
)
"""
)

_CREATE: LiteralString = (
    TABLE
    + """
, options AS (
  SELECT string_agg(format('%%s=%%L', name, value), ', ') AS list FROM (
    SELECT quote_ident(o.option_name) AS name, o.option_value AS value FROM t, pg_options_to_table(t.reloptions) o
    UNION ALL
    SELECT 'toast.' || quote_ident(o.option_name), o.option_value
    FROM t JOIN pg_class toast ON toast.oid = t.reltoastrelid, pg_options_to_table(toast.reloptions) o
  ) AS o
)
SELECT format('CREATE %%sTABLE %%s (LIKE %%s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS) USING %%I%%s%%s',
  CASE t.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, %(new)s::text, t.qualified,
  (SELECT amname FROM pg_am WHERE oid = t.relam), ' WITH (' || options.list || ')',
  (SELECT format(' TABLESPACE %%I', spcname) FROM pg_tablespace WHERE oid = t.reltablespace))
FROM t, options
"""
)

_COLUMN_SETTINGS: LiteralString = """
SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET %%s', %(new)s::text, a.attname, setting.what)
FROM pg_attribute a, LATERAL (
  SELECT 'STATISTICS ' || a.attstattarget AS what WHERE a.attstattarget >= 0
  UNION ALL
  SELECT '(' || string_agg(format('%%I=%%L', o.option_name, o.option_value), ', ') || ')'
  FROM pg_options_to_table(a.attoptions) o HAVING count(*) > 0
) AS setting
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def _keys(which: LiteralString) -> LiteralString:
    return (
        _INDEX
        + """
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', %(new)s::text, new_name, pg_get_constraintdef(constraint_oid))
FROM i WHERE constraint_oid IS NOT NULL AND """
        + which
        + " ORDER BY indexrelid"
    )


_FOREIGN_KEYS: LiteralString = """
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', %(new)s::text, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = %(oid)s::oid AND contype = 'f' ORDER BY conname
"""


def _indexes(which: LiteralString) -> LiteralString:
    return (
        _INDEX
        + """
SELECT format('CREATE %%sINDEX %%I ON %%s ', uniquely, new_name, %(new)s::text)
  || substr(def, length(format('CREATE %%sINDEX %%I ON %%s ', uniquely, name, t.qualified)) + 1)
FROM i, t WHERE constraint_oid IS NULL AND """
        + which
        + " ORDER BY indexrelid"
    )


def _caches(numbers: LiteralString) -> LiteralString:
    """How many numbers a session takes from the identities of the shadow table at once. Only for bigint: what a session
    does not use is lost."""
    return (
        """
SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET CACHE %%s', %(new)s::text, a.attname, """
        + numbers
        + """)
FROM pg_depend d JOIN pg_sequence q ON q.seqrelid = d.objid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s::oid
  AND d.deptype = 'i' AND q.seqtypid = 'bigint'::regtype AND q.seqincrement = 1 AND q.seqcache < 32 AND NOT q.seqcycle
  AND a.attname <> ALL (%(filled)s::text[]) ORDER BY a.attnum
"""
    )


_INDEX_SETTINGS: LiteralString = (
    _INDEX
    + """
SELECT format('ALTER INDEX %%I.%%I SET (%%s)', t.nspname, new_name,
              (SELECT string_agg(format('%%I=%%L', option_name, option_value), ', ') FROM pg_options_to_table(options)))
FROM i, t WHERE options IS NOT NULL AND constraint_oid IS NOT NULL
UNION ALL
SELECT format('ALTER INDEX %%I.%%I SET TABLESPACE %%I', t.nspname, new_name, space) FROM i, t WHERE space IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %%s CLUSTER ON %%I', %(new)s::text, new_name) FROM i WHERE indisclustered
UNION ALL
SELECT format('ALTER TABLE %%s REPLICA IDENTITY %%s', %(new)s::text,
  CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
    ELSE (SELECT format('USING INDEX %%I', new_name) FROM i WHERE indisreplident) END)
FROM t WHERE relreplident <> 'd'
"""
)


def _triggers(which: LiteralString) -> LiteralString:
    # Row triggers BEFORE INSERT have the bits row (1), before (2) and insert (4).
    return (
        TABLE
        + """
, g AS (
  SELECT tgname, tgenabled, pg_get_triggerdef(tg.oid) AS def, format(' ON %%s ', t.qualified) AS here
  FROM t JOIN pg_trigger tg ON tg.tgrelid = t.oid WHERE NOT tgisinternal AND (tgtype & 7 = 7) = """
        + which
        + """
)
SELECT ddl FROM g, LATERAL (
  SELECT 1, overlay(def placing format(' ON %%s ', %(new)s::text) from position(here in def) for length(here))
  UNION ALL
  SELECT 2, format('ALTER TABLE %%s %%s TRIGGER %%I', %(new)s::text,
    CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname)
  WHERE tgenabled <> 'O'
) AS made (number, ddl) ORDER BY tgname, number
"""
    )


_STATISTICS: LiteralString = (
    TABLE
    + """
SELECT format('CREATE STATISTICS %%I.%%I', n.nspname, """
    + _new_name("s.stxname")
    + """)
  || substr(def, length(old) + 1, length(def) - length(old) - length(rest)) || format(' FROM %%s', %(new)s::text)
FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid JOIN pg_namespace n ON n.oid = s.stxnamespace, LATERAL (
  SELECT pg_get_statisticsobjdef(s.oid), format('CREATE STATISTICS %%I.%%I', n.nspname, s.stxname),
         format(' FROM %%s', t.qualified)) AS d (def, old, rest)
ORDER BY s.stxname
"""
)

_POLICIES: LiteralString = """
SELECT format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', polname, %(new)s::text,
  CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
  CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
    ELSE 'ALL' END,
  (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
   FROM unnest(polroles) AS role),
  format(' USING (%%s)', nullif(pg_get_expr(polqual, polrelid), '')),
  format(' WITH CHECK (%%s)', nullif(pg_get_expr(polwithcheck, polrelid), '')))
FROM pg_policy WHERE polrelid = %(oid)s::oid ORDER BY polname
"""

_ROW_SECURITY: LiteralString = """
SELECT format('ALTER TABLE %%s %%s ROW LEVEL SECURITY', %(new)s::text, what)
FROM pg_class, LATERAL (
  SELECT 'ENABLE' WHERE relrowsecurity UNION ALL SELECT 'FORCE' WHERE relforcerowsecurity) AS f (what)
WHERE oid = %(oid)s::oid
"""

_OWNER: LiteralString = """
SELECT format('ALTER TABLE %%s OWNER TO %%I', %(new)s::text, pg_get_userbyid(relowner))
FROM pg_class WHERE oid = %(oid)s::oid AND pg_get_userbyid(relowner) <> current_user
"""

_GRANTS: LiteralString = """
SELECT format('GRANT %%s%%s ON TABLE %%s TO %%s%%s', g.privilege_type, g.col, %(new)s::text,
  CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
  CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM (
  SELECT a.*, '' AS col FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
  WHERE c.oid = %(oid)s::oid
  UNION ALL
  SELECT a.*, format(' (%%I)', t.attname) FROM pg_attribute t, aclexplode(t.attacl) a
  WHERE t.attrelid = %(oid)s::oid AND NOT t.attisdropped
) AS g ORDER BY g.col, g.grantee, g.privilege_type
"""

_PUBLICATIONS: LiteralString = """
SELECT format('ALTER PUBLICATION %%I ADD TABLE %%s%%s%%s', p.pubname, %(new)s::text,
  (SELECT ' (' || string_agg(quote_ident(a.attname), ', ') || ')' FROM pg_attribute a
   WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])),
  format(' WHERE (%%s)', nullif(pg_get_expr(r.prqual, r.prrelid), '')))
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = %(oid)s::oid ORDER BY p.pubname
"""

_COMMENTS: LiteralString = (
    _INDEX
    + """
SELECT format('COMMENT ON %%s IS %%L', what, said) FROM (
  SELECT format('CONSTRAINT %%I ON %%s', CASE c.contype WHEN 'f' THEN c.conname ELSE i.new_name END, %(new)s::text),
         obj_description(c.oid, 'pg_constraint')
  FROM pg_constraint c LEFT JOIN i ON i.constraint_oid = c.oid
  WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('p', 'u', 'x', 'f')
  UNION ALL SELECT format('INDEX %%I.%%I', t.nspname, new_name), obj_description(indexrelid, 'pg_class') FROM i, t
  UNION ALL SELECT format('TRIGGER %%I ON %%s', tgname, %(new)s::text), obj_description(oid, 'pg_trigger')
  FROM pg_trigger WHERE tgrelid = %(oid)s::oid AND NOT tgisinternal
  UNION ALL SELECT format('POLICY %%I ON %%s', polname, %(new)s::text), obj_description(oid, 'pg_policy')
  FROM pg_policy WHERE polrelid = %(oid)s::oid
) AS comments (what, said) WHERE said IS NOT NULL ORDER BY what
"""
)

_SERIALS: LiteralString = """
SELECT format('ALTER SEQUENCE %%s OWNED BY %%s.%%I', d.objid::regclass, %(new)s::text, a.attname)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s::oid
  AND d.deptype = 'a' ORDER BY a.attnum
"""

_RENAMES: LiteralString = (
    _INDEX
    + """
SELECT format('ALTER INDEX %%I.%%I RENAME TO %%I', t.nspname, new_name, name) FROM i, t
UNION ALL
SELECT format('ALTER STATISTICS %%I.%%I RENAME TO %%I', n.nspname, """
    + _new_name("s.stxname")
    + """, s.stxname)
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = %(oid)s::oid
UNION ALL
SELECT format('COMMENT ON TABLE %%s IS %%L', qualified, obj_description(oid, 'pg_class')) FROM t
"""
)

PARTS: tuple[tuple[Step, LiteralString], ...] = (
    ("make", _CREATE),
    ("make", _COLUMN_SETTINGS),
    ("make", _caches("32")),
    ("make", _keys("(checks_rows OR NOT indisunique)")),
    ("make", _indexes("checks_rows")),
    ("make", _FOREIGN_KEYS),
    ("make", _triggers("true")),
    ("complete", _keys("indisunique AND NOT checks_rows")),
    ("complete", _indexes("NOT checks_rows")),
    ("complete", _INDEX_SETTINGS),
    ("complete", _triggers("false")),
    ("complete", _STATISTICS),
    ("complete", _POLICIES),
    ("complete", _ROW_SECURITY),
    ("complete", _OWNER),
    ("complete", _GRANTS),
    ("complete", _PUBLICATIONS),
    ("complete", _COMMENTS),
    ("swap", _SERIALS),
    ("swap", _caches("q.seqcache")),
    ("rename", _RENAMES),
)
"""In the order in which they are run."""
