"""Tables and every SQL statement; `database.py` is the only door to them."""

from db import oncall_tables

__all__ = ["oncall_tables"]  # whoever asks for the metadata gets all of it
