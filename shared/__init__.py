"""What the pipeline, the service and `dev` must read or write alike. It imports none of them.

The published tables are the contract between pipeline and service; this is how both read what surrounds the tables:
environment variables, database addresses, country names, and the addresses that people are shown.
"""
