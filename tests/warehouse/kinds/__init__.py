"""The kinds of warehouses that the promises are kept on, and how each of them is started."""
