"""Others that do the same job: read the reviews from DuckDB, and POST one interaction a row.

Each is a command: `python -m benchmarks.peers.NAME WAREHOUSE URL`, in a folder for its state.
"""
