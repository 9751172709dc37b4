"""What Postgres holds of runs: their record, which one readers see, and how two of them differ."""
