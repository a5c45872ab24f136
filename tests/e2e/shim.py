"""What a program under test runs before all else: Python imports `sitecustomize` from PYTHONPATH."""

import os
from pathlib import Path


class Gate:
    """A named pipe that holds up whoever reads from it until `open` is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)

    def open(self) -> None:
        """Let the reader go on."""
        os.write(self._fd, b"!")

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._fd)


def first_of_all(directory: Path, code: str) -> dict[str, str]:
    """The environment that has a program run `code` first; it is kept in `directory`."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(directory)}
