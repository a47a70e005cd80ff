"""Run the command `titles` as `python -m titles`."""

from titles.cli import main

if __name__ == "__main__":
    main()
