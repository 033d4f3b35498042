"""`python -m service …` is `rollcall …`, for where the script is not on the path."""

from service.cli import main

main()
