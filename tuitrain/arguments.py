"""What the command line takes: its kinds of values, and one sentence for what it cannot take."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand, parse

if TYPE_CHECKING:
    _IntType = click.ParamType[int]
    _FloatType = click.ParamType[float]
    _CommandType = click.ParamType[AnyCommand]
else:  # click's types are generic from 8.4 on
    _IntType = _FloatType = _CommandType = click.ParamType

_T = TypeVar("_T")

INTERRUPTED = 130
"""Exit code after ctrl+c, as shells have it."""
LARGEST = 10**12
"""More of anything than a run can have, and with room to multiply in 64 bits."""


class Whole(_IntType):
    """A whole number within limits."""

    name = "n"

    def __init__(self, least: int, most: int = LARGEST) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """The number; a usage error names what is allowed."""
        number = _parsed(int, value)
        if number is None or number < self._least:
            self.fail(f"{value!r} is not a whole number of at least {self._least}.", param, ctx)
        if number > self._most:
            self.fail(f"{value!r} is more than {self._most:,}.", param, ctx)
        return number


class Positive(_FloatType):
    """A finite number above 0."""

    name = "x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """The number; a usage error names what is allowed."""
        number = _parsed(float, value)
        if number is None or not 0 < number < math.inf:
            self.fail(f"{value!r} is not a number above 0.", param, ctx)
        return number


class CommandText(_CommandType):
    """Half of `--at K word=value`: the command."""

    name = "command"

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> AnyCommand:
        """The command; UserError names the word and what it allows."""
        return value if isinstance(value, AnyCommand) else parse(value)


def _parsed(kind: Callable[[Any], _T], value: Any) -> _T | None:  # noqa: ANN401
    try:
        return kind(value)
    except ValueError:
        return None


class _Sentence(click.ClickException):
    """Ends the program with exit code 2 and one sentence."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"tuitrain: {self.message}", file=file, err=True)


class SentenceGroup(click.Group):
    """A group whose usage errors, and every UserError, are one sentence on stderr instead of a usage text."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401 - as click has them
        """Parse what belongs to the group itself."""
        with _one_sentence():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Parse the rest, and call the command; ctrl+c, where a command does not see to it itself, is no error."""
        try:
            with _one_sentence(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@contextlib.contextmanager
def _one_sentence(group: click.Context | None = None) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise _Sentence(str(error)) from error
    except click.UsageError as error:
        raise _Sentence(_sentence(error, group)) from error


def _sentence(error: click.UsageError, group: click.Context | None) -> str:
    """What click says, and where to read more; click does not always tell which command it was parsing."""
    message = error.format_message()
    if error.ctx:
        command = error.ctx.command_path
    else:
        command = f"{group.command_path} {group.invoked_subcommand}" if group else "tuitrain"
    return message if message.endswith("?") else f"{message.rstrip('.')} (see {command} --help)."
