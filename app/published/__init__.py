"""The published run: its tables, its snapshot in memory, and the connections to Postgres."""
