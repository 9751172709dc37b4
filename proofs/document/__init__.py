"""Proofs about the OpenAPI document: requests made from it, and clients generated from it."""
