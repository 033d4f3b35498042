"""People: who they are according to each source, and the one person that follows from it."""
