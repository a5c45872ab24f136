"""What went wrong, said to the person."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the thing and the remedy.

    The command line prints it and exits with code 2, without a traceback.
    """
