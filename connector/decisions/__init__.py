"""What a person decides about recorded rows: quarantine, release, undo, forget."""
