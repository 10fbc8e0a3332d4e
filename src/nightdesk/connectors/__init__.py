"""The outside world, one folder a world. No policy is decided here."""
