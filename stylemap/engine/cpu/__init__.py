"""The network and edits of it on a CPU."""
