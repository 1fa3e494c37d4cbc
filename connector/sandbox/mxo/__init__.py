"""Medallia Experience Orchestration as a sandbox imitates it: records that take effect."""
