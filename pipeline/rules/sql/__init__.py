"""The SQL that adds up what rules and segments count, and finds the answers."""
