"""Pure values with laws; they import the standard library only."""
