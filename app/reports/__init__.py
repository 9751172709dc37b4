"""What is published, over HTTP: segments, rules, runs and cleaned rows."""
