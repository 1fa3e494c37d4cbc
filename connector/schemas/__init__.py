"""The `schema` commands: files of schemas, plans about them, and what is printed."""
