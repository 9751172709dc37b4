"""The commands of `make` that start, show and use the stack."""
