"""Proofs about the running service: no request is lost, whatever happens to it and whatever it is sent."""
