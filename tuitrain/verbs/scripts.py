"""What every run of a script or of a user's own loop is given: the tips, the checks, and its name. Loads no torch."""

import re

TIPS = "tuitrain.tips:TIPS"
CHECKS = "tuitrain.checks:checks"
"""Where they are found: loaded only in the process that trains."""


def plain_name(name: str, otherwise: str) -> str:
    """A name for a run: letters, digits, dots and dashes; `otherwise` where none is left."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or otherwise
