"""The checks between loading a run and publishing it."""
