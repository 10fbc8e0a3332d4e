"""Nightdesk: the cloud desk drafts all night, you sign in the morning, your laptop acts."""

__version__ = "0.1.0"
