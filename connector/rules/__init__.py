"""What holds without a world around it: the grammar, schemas, mapping, columns, states, errors.

Nothing here knows a clock (but `clocks`, the one that reads them), a network or a database.
"""
