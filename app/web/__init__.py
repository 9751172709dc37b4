"""What every route shares: problems, security, request log, health and metrics."""
