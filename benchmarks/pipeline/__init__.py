"""Benchmarks of the pipeline, compared with the limit and the common way."""
