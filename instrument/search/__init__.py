"""What to try next, and is it really better. Knows designs and scores, neither bench nor frames."""
