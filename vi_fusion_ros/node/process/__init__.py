"""How a node is run: arguments and signals, spinning beside a thread that works, and work off the executor."""
