"""The functions of a query of the op `sql`: deterministic, and dependent on their arguments only.

Left out on purpose: functions that read the machine (`read_csv`, `getenv`, `current_setting`), clocks and random values
(a retry must get the same rows), and functions with a large result of small arguments (`repeat`, `range`, `format`).
"""

from __future__ import annotations

SCALAR = frozenset(
    """
    abs cbrt ceil ceiling coalesce cos degrees even exp fdiv floor gcd greatest ifnull isfinite isinf isnan lcm
    least ln log log10 log2 mod nullif pi pow power radians round sign sin sqrt tan trunc acos asin atan atan2 xor

    ascii char_length character_length chr concat concat_ws contains damerau_levenshtein ends_with instr jaccard
    jaro_similarity jaro_winkler_similarity lcase left len length levenshtein lower lpad ltrim md5 nfc_normalize
    octet_length ord position prefix regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    replace reverse right rpad rtrim sha256 split_part starts_with string_split strip_accents strlen strpos substr
    substring suffix translate trim ucase unicode upper

    age century date_add date_diff date_part date_sub date_trunc datediff datepart datetrunc day dayname dayofmonth
    dayofweek dayofyear decade epoch epoch_ms epoch_us era hour isodow isoyear last_day make_date make_time
    make_timestamp microsecond millennium millisecond minute month monthname quarter second strftime strptime
    time_bucket to_days to_hours to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks to_years
    try_strptime week weekday weekofyear year yearweek

    array_contains array_extract array_length array_to_string list_contains list_distinct list_extract list_position
    list_reverse_sort list_sort list_sum list_unique list_value

    json_array_length json_contains json_exists json_extract json_extract_string json_keys json_type json_valid
    """.split()  # noqa: SIM905 - a table of words
)

AGGREGATES = frozenset(
    """
    any_value approx_count_distinct arg_max arg_min array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count
    count_if covar_pop covar_samp first group_concat kurtosis last list listagg max max_by mean median min min_by mode
    product quantile quantile_cont quantile_disc skewness stddev stddev_pop stddev_samp string_agg sum var_pop var_samp
    variance
    """.split()  # noqa: SIM905 - a table of words
)

WINDOWS = frozenset(
    """
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    """.split(),  # noqa: SIM905 - a table of words
)

FUNCTIONS = SCALAR | AGGREGATES | WINDOWS

ORDER_SENSITIVE = WINDOWS | frozenset(
    """
    any_value arg_max arg_min array_agg first group_concat last list listagg max_by min_by mode string_agg
    """.split(),  # noqa: SIM905 - a table of words
)
"""Functions whose result may depend on the order of rows."""

ALTERNATIVES = {
    "repeat": "use lpad or rpad",
    "range": "rows come from the input alone",
    "generate_series": "rows come from the input alone",
    "unnest": "use the op explode",
    "now": "queries are deterministic: use now() in an expression of add_field",
    "today": "queries are deterministic: use current_date in an expression of add_field",
    "random": "queries are deterministic",
    "format": "concatenate with ||",
    "printf": "concatenate with ||",
}

TYPES = frozenset(
    """
    BIGINT BOOLEAN CHAR DATE DECIMAL DOUBLE FLOAT INT INT128 JSON SMALLINT TEXT TIME TIMESTAMP TIMESTAMPNTZ TIMESTAMPTZ
    TINYINT UBIGINT
    UINT USMALLINT UTINYINT UUID VARBINARY VARCHAR INTERVAL
    """.split()  # noqa: SIM905 - a table of words
)
"""The types of casts, by sqlglot's names."""

PARTS = frozenset(
    """
    CENTURY DAY DAYS DAYOFWEEK DAYOFYEAR DECADE DOW DOY EPOCH ERA HOUR HOURS ISODOW ISOYEAR MICROSECOND MICROSECONDS
    MILLENNIUM MILLISECOND MILLISECONDS MINUTE MINUTES MONTH MONTHS QUARTER SECOND SECONDS WEEK WEEKS YEAR YEARS
    YEARWEEK
    """.split()  # noqa: SIM905 - a table of words
)
"""Parts of dates and units of intervals."""
