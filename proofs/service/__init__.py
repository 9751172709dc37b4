"""Proofs about the running service: no request is lost when processes are killed or clients misbehave."""
