"""Apply rules and segments to parts of the history in DuckDB, and aggregate what was counted."""
