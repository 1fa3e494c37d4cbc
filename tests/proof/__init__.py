"""The proof of "never twice, never lost": the truth is what the destination holds."""
