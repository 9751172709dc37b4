"""SQL that formats cleaned rows as lines of CSV. Used by `downloads`."""

from sqlalchemy import text

COLUMNS = ("timestamp", "country_code", "first_order_ts", "last_order_ts", "total_orders", "voucher_amount")


def _time(column: str) -> str:
    """Return SQL for a time in ISO 8601. All have one width: pandas and DuckDB infer formats from the first values."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _width(column: str) -> str:
    """Return SQL for the length of a time. Formatting each time to measure it would take as long as the download."""
    usual = f"{column} BETWEEN '0001-01-02 00:00Z' AND '9999-12-30 00:00Z'"
    return f"CASE WHEN {usual} THEN 27 ELSE coalesce(octet_length({_time(column)}), 0) END"


TIMES = ('"timestamp"', "first_order_ts", "last_order_ts")
NUMBERS = "concat(total_orders, ',', trim_scale(voucher_amount), chr(13), chr(10))"
LINE = "concat({}, ',', written, ',', {}, ',', {}, ',', {})".format(*map(_time, TIMES), NUMBERS)
# The length of a line without its country, which is ASCII and so the same in every encoding of the database.
BYTES = " + ".join([*map(_width, TIMES), f"octet_length({NUMBERS})", "4"])
ROWS = """loaded_by = :loaded_by AND part_id = ANY(:parts)
    AND assignment.ctid >= CAST(:first AS tid) AND assignment.ctid < CAST(:behind AS tid)"""

# `file` changes when a partition is dropped and loaded again. It is NULL if the partition was dropped.
PARTITIONS = text("""
    SELECT loaded_by, array_agg(part_id ORDER BY part_id) AS parts, pg_relation_filenode(partition) AS file,
        pg_relation_size(partition) / CAST(current_setting('block_size') AS bigint) AS blocks
    FROM voucher.run_part, LATERAL to_regclass('voucher.assignment_' || loaded_by) AS partition
    WHERE run_id = :run_id GROUP BY loaded_by, partition ORDER BY loaded_by""")
SPELLINGS = text(f"""
    SELECT country_code, count(*) AS rows, sum({BYTES}) AS bytes
    FROM voucher.assignment WHERE {ROWS} GROUP BY country_code""")
LINES = text(f"""
    SELECT pg_relation_filenode(to_regclass('voucher.assignment_' || :loaded_by)) = :file AS there,
        (SELECT string_agg({LINE}, '' ORDER BY assignment.ctid)
        FROM voucher.assignment
            JOIN unnest(CAST(:spellings AS text[]), CAST(:written AS text[])) AS country (country_code, written)
            USING (country_code)
        WHERE {ROWS}) AS lines""")
