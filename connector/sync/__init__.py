"""One run: read, stage, deliver, settle; and what only looks at one: check, preview, verify."""
