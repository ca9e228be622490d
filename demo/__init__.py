"""Two real registries on this machine, filled with made-up images and charts: to try the console and to test it."""
