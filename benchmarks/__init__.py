"""How fast it is, and against what: the suite behind ``stylemap bench``."""
