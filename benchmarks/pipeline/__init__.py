"""The benchmarks of the pipeline, beside the limit and the common way."""
