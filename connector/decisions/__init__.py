"""What a person decides about recorded rows: each a deed that is planned, shown, asked and done."""
