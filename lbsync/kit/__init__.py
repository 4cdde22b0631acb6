"""The plugin kit: I/O primitives that providers build on, here or on another host. Imports floors 0 and 1 only."""
