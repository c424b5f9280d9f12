"""The functions and types that a hook's SQL may use: those that look at nothing but their arguments and the clock."""

from __future__ import annotations

FUNCTIONS = frozenset(
    """
    abs age array_agg array_length avg bit_and bit_or bool_and bool_or btrim cardinality ceil ceiling char_length
    character_length chr coalesce concat concat_ws corr count cume_dist current_date current_time current_timestamp
    date_bin date_part date_trunc dense_rank div encode every exp extract first_value floor gcd generate_series
    greatest initcap jsonb_agg jsonb_array_length jsonb_extract_path jsonb_extract_path_text jsonb_typeof justify_days
    lag last_value lead least left length ln log lower lpad ltrim make_date make_interval make_timestamp max md5 min
    mod mode now nth_value ntile nullif num_nonnulls num_nulls octet_length overlay percent_rank percentile_cont
    percentile_disc position power rank regexp_count regexp_like regexp_match regexp_replace regexp_substr repeat
    replace reverse right round row_number rpad rtrim sha256 sign split_part sqrt starts_with stddev stddev_pop
    stddev_samp string_agg strpos substr substring sum to_char to_date to_number to_timestamp to_tsvector translate
    trim trunc unaccent upper var_pop var_samp variance width_bucket
    """.split()  # noqa: SIM905 - a table of words
)

TYPES = frozenset(
    """
    bigint bool boolean char character date dec decimal double float int int2 int4 int8 integer interval json jsonb
    numeric real smallint text time timestamp timestamptz timetz uuid varchar varying zone precision
    """.split()  # noqa: SIM905 - a table of words
)

BEFORE_PAREN = frozenset(
    """
    all and any array as asc between by case cast desc distinct else except exists filter from group having ilike in
    intersect is join like limit materialized not null nulls offset on or order over partition select similar some
    then to union using values when where with within
    """.split()  # noqa: SIM905 - a table of words
)
"""Words that may stand before a parenthesis and call nothing."""
