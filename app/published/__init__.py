"""The published run: its tables, what is held in memory of it, and the connections to Postgres."""
