"""A destination as somebody else would ship it, which is not like Engage, and its tiny server."""
