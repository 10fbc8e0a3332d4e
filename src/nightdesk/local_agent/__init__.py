"""The laptop half: shows, asks, and carries out what a person approved, at most once."""
