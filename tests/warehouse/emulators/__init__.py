"""What speaks for warehouses that are nowhere to be had: each runs by itself, in an environment of
its own (`make emulators`), since what it needs does not go with what the program needs."""
