"""The benchmark of the service, beside the servers of `reference`."""
