"""The commands of `python -m pipeline` that show something: each module has one, `__main__` reads their options."""
