"""The processes that serve the app: granian, graceful shutdown, stalled clients."""
