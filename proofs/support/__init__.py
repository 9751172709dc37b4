"""Helpers of several proofs and of the tests: a clean environment, servers, clients, killing the pipeline."""
