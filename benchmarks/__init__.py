"""Service and pipeline beside what was written to compare them with. `make bench`, or `python -m benchmarks`."""
