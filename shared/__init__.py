"""What the pipeline, the service and `dev` must read or write in the same way. It imports none of them.

The published tables are the contract between pipeline and service. This package defines the rest that they share:
environment variables, database addresses, country names, and how addresses are displayed.
"""
