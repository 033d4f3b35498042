"""Notion: where the organisation reads who its people are. One page a person, kept as the database says."""
