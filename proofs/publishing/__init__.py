"""Proofs about publishing: readers see one complete run, even if it is killed at any point or rolled back."""
