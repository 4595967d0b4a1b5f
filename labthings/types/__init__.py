"""Types of values that need more than JSON."""
