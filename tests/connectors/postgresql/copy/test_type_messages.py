"""Messages about a refused value say what was expected, and never repeat the value."""

from __future__ import annotations

import psycopg
import pytest

from headrace.connectors.postgresql.copy.copy_rows import row_error_message
from headrace.connectors.postgresql.copy.type_messages import redact_values
from headrace.connectors.postgresql.tables.describe import describe_table


@pytest.mark.parametrize(
    ("message", "reported"),
    [
        ('invalid input syntax for type integer: "078-05-1120"', "invalid input syntax for type integer"),
        ('value "99999" is out of range for type smallint', "value … is out of range for type smallint"),
        ('malformed array literal: "{a "quoted" b"', "malformed array literal"),
        ('invalid input syntax for type date: "two\nlines"', "invalid input syntax for type date"),
        ("numeric field overflow", "numeric field overflow"),
    ],
)
def test_a_message_of_the_server_loses_the_input_it_quotes(message: str, reported: str) -> None:
    assert redact_values(message) == reported


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("value", "reported"),
    [
        ("'secret', 1", "Value too long for type character varying(3)"),
        ("'a', -1", 'Value violates check constraint "t_n_check"'),
        ("'a', 'secret'::text::int", "Invalid input syntax for type integer"),
        ("'a', 5", 'No partition of relation "t" found for row'),
        ("'dup', 1", 'Duplicate value violates unique constraint "t1_a_key"'),
        ("NULL, 1", 'Null value in column "a"'),
    ],
)
def test_no_refusal_is_reported_with_a_value(database_url: str, value: str, reported: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a varchar(3) NOT NULL, n int CHECK (n > 0)) PARTITION BY LIST (n)")
        connection.execute("CREATE TABLE t1 PARTITION OF t (UNIQUE (a)) FOR VALUES IN (1, -1)")
        connection.execute("INSERT INTO t VALUES ('dup', 1)")
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(f"INSERT INTO t VALUES ({value})")  # type: ignore[arg-type]
        assert row_error_message(refused.value, describe_table(connection, "t")) == reported
