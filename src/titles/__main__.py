"""`python -m titles` is the command `titles`."""

from titles.cli import main

if __name__ == "__main__":
    main()
