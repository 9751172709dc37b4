"""The countries of a run, and what the world knows of them: ISO codes, names and currencies."""
