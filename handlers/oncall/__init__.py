"""On call: who is it, why, and who comes next."""
