"""What publishing a run would change: `compare` finds it, `text` and `markdown` show it, `models` is its JSON."""
