"""Tools for `make`: the Python environment, and the pictures of the documentation."""
