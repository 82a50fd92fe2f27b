"""Pure and synchronous: no I/O, no clock, no threads, no logging."""
