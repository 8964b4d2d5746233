"""The network and edits of it on a GPU."""
