"""`python -m tuitrain` is `tuitrain`."""

from tuitrain.cli import main

if __name__ == "__main__":
    main()
