"""The five tips: one file each, with its switch, what it measures and its report.

A sixth is one new file here, and one line in this table.
"""

from tuitrain.engine.tip import Tip
from tuitrain.tips.clipping import GradientClipping
from tuitrain.tips.data import Normalisation, Shuffling
from tuitrain.tips.modes import Modes
from tuitrain.tips.overfit import OverfitOneBatch
from tuitrain.tips.registration import Registration

TIPS: tuple[type[Tip], ...] = (OverfitOneBatch, Shuffling, Normalisation, GradientClipping, Modes, Registration)
