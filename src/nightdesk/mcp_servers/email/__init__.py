"""The e-mail server: `draft` for both agents, `full` (which can send) for the laptop."""
