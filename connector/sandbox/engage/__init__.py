"""Engage as a sandbox imitates it, from its documentation and what is known beside it."""
