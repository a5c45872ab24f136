"""How numbers are written on the screen."""

import math

DASH = "—"
"""What stands for a number that is not known."""


def loss_text(value: float) -> str:
    """A loss or a norm with three significant digits: 0.0312, 1.82, 15.7, 3.4e-05; nan and inf as they are."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.1e}"
    decimals = 2 if value == 0 else max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{decimals}f}"


def norm_text(value: float) -> str:
    """A gradient norm: two decimals where it is of the size that norms have, below that two significant digits."""
    if 1e-4 <= value < 0.1:
        return f"{value:.{1 - math.floor(math.log10(value))}f}"
    return f"{value:.2f}" if 0.1 <= value < 100 else loss_text(value)


def rate_text(value: float) -> str:
    """A learning rate in scientific notation: 1.0e-3, 1.25e-3."""
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.removesuffix("0")
    return f"{mantissa}e{int(exponent)}"


def percent_text(share: float, decimals: int = 0) -> str:
    """A share (0 to 1) as 64 %; never rounded up to 100 % when it is less."""
    rounded = round(100 * share, decimals)
    if rounded >= 100 > 100 * share:
        rounded = 100 - 10**-decimals
    return f"{rounded:.{decimals}f} %"


def speed_text(per_second: float) -> str:
    """Steps a second: 412, 3.2, 0.08."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2f}"


def duration_text(seconds: float) -> str:
    """A duration as m:ss, or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def bytes_text(count: int) -> str:
    """A number of bytes in MiB below one GiB, else in GiB."""
    mebibytes = count / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"
