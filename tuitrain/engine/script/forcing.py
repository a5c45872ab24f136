"""Eval mode forced upon a script's models while it evaluates: module by module, and back module by module."""

from collections.abc import Iterable

from torch import nn


class EvalMode:
    """Switches modules that are in train mode, and knows which those were. None of their own methods is called."""

    def __init__(self) -> None:
        self.wanted = False
        """Whether the user wants the script to validate in eval mode, whatever it does itself."""
        self._switched: list[nn.Module] = []

    @property
    def at_work(self) -> bool:
        """Whether it has switched modules that are not yet put back."""
        return bool(self._switched)

    def begin(self, models: Iterable[nn.Module]) -> None:
        """Put every module of these into eval mode, if that is wanted."""
        if self.wanted:
            self._switched = list({module: None for model in models for module in model.modules() if module.training})
            for module in self._switched:
                module.training = False

    def end(self) -> None:
        """Put them back, but for those that the script itself has put into train mode meanwhile."""
        switched, self._switched = self._switched, []
        for module in switched:
            module.training = True
