"""The benchmark of the service, compared with the servers of `reference`."""
