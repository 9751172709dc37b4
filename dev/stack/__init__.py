"""The stack as a whole: its settings, what is running, and what has to be restarted."""
