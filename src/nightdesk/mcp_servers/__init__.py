"""Connectors as MCP tools: a draft set for both agents, a full set for the laptop alone."""
