"""Files on one disk: layout, notes, documents, claims, watching. No git, no network."""
