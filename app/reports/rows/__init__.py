"""The cleaned rows of a run, as a streamed download."""
