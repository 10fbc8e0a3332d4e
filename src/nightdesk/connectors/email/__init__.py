"""E-mail: reading mailboxes, building and parsing messages, submitting over SMTP."""
