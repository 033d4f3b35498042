"""Tables and every SQL statement; `database.py` is the only door to them."""
