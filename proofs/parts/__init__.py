"""Proofs about histories of many parts: each part is read once, by one process or by a Dask cluster."""
