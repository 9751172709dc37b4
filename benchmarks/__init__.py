"""The service measured beside servers written to compare it with. `make bench`, or `python -m benchmarks`."""
