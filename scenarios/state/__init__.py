"""STATE: the places that tell of an agent's run, and their agreement."""
