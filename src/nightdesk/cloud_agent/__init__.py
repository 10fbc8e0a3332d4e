"""The cloud half: reads the world and writes drafts. It can never send, post or pay."""
