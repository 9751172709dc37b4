"""What several proofs, and the tests, share: a clean environment, servers, clients, the pipeline killed at a point."""
