"""Benchmarks of the service and the pipeline, compared with references: `make bench`, or `python -m benchmarks`."""
