"""The command line: parse, ask, print. A module for each group of commands."""
