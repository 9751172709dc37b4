"""Proofs about publishing: killed at any point, rolled back, and read meanwhile, readers see one whole run."""
