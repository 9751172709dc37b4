"""The proof that no secret in an address is shown anywhere."""
