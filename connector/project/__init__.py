"""A project wired together: its settings, its engines and clients, its schedule, its reports."""
