"""Campaigns as files: CSV in, CSV out. As many lines out as in, from one run, and in the same memory for any length."""
