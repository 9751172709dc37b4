"""The notation of time zones, in files and in requests."""

# From -15:59 to +15:59, which Postgres and DuckDB take and no place exceeds: Manila had -15:56 until 1844.
OFFSET = r"[+-](?:0\d|1[0-5])(?::?[0-5]\d)?"
