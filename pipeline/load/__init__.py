"""Read many parts at the same time, and write cleaned rows and counts under a run's own id."""
