"""The durable memory: what was recorded, tried and answered. SQLite or PostgreSQL."""
