"""Tables of the benchmarks from PostgreSQL to PostgreSQL: their definitions, and rows that are the same each time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """`rows` fills it, with `{rows}` for how many; `number` is a column of numbers. The sum of `checked` over all rows
    is the same for equal rows in any order."""

    definition: str
    rows: str
    number: str
    checked: str = "hashtextextended(t::text, 0)::numeric"


ORDERS = Table(
    "CREATE TABLE orders (id bigint PRIMARY KEY, customer integer, kind smallint, amount numeric(12,2), "
    "ratio double precision, paid boolean, day date, at timestamptz, name text, note text)",
    """
    INSERT INTO orders SELECT i, i * 7919 % 100000, i % 500, (i * 13 % 1000000) / 100.0, i * 0.37, i % 3 = 0,
      date '2020-01-01' + (i % 1500)::int, timestamptz '2024-01-01' + i * interval '1.234567 s', 'customer name ' || i,
      CASE WHEN i % 5 > 0 THEN E'a note, with "quotes",\\ttabs and text ' || i END
    FROM generate_series(1::bigint, {rows}) i
    """,
    "ratio",
)
LINEITEM = Table(
    "CREATE TABLE lineitem (l_orderkey bigint, l_partkey integer, l_suppkey integer, l_linenumber integer, "
    "l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), "
    "l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, "
    "l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44), PRIMARY KEY (l_orderkey, l_linenumber))",
    """
    INSERT INTO lineitem SELECT (i - 1) / 4 + 1, i * 7919 % 200000, i * 31 % 10000, (i - 1) % 4 + 1, i % 50 + 1,
      (i * 13 % 10000000) / 100.0, (i % 11) / 100.0, (i % 9) / 100.0, substr('ANR', (i % 3)::int + 1, 1),
      substr('OF', (i % 2)::int + 1, 1), date '1992-01-01' + (i % 2500)::int, date '1992-01-31' + (i % 2500)::int,
      date '1992-02-10' + (i % 2500)::int, (ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])
      [i % 4 + 1], (ARRAY['AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB', 'REG AIR'])[i % 7 + 1],
      left('carefully final deposits ' || md5(i::text), (i % 34)::int + 10)
    FROM generate_series(1::bigint, {rows}) i
    """,
    "l_partkey",
)
TABLES = {"orders": ORDERS, "lineitem": LINEITEM}
