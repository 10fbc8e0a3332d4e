"""What an agent can do: skills read from SKILL.md, their registry, and the model layer."""
