"""Keeping a daemon alive and visible: logs, readiness, watchdog."""
