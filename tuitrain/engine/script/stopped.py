"""How a script is stopped: by an exception that unwinds it."""

from tuitrain.engine.script.messages import STOPPED_CODE


class Stopped(KeyboardInterrupt):
    """Raised in the script where it was stopped: it unwinds as for ctrl+c, and what the script does then is done.

    Where the script does not catch it, it ends without a traceback and with `leaves_quietly` as its exit code.
    """

    leaves_quietly = STOPPED_CODE
