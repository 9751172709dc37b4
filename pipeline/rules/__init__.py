"""What the analyst defines: how columns are read, cleaning rules and segments, and the SQL that applies them."""
