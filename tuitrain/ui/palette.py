"""The command palette: the keys of the keymap, found by name."""

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Protocol, runtime_checkable

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tuitrain.ui import keymap
from tuitrain.ui.keymap import Key


@runtime_checkable
class WithKeys(Protocol):
    """An app that has keys of the table."""

    keys: tuple[Key, ...]


class KeyCommands(Provider):
    """Offers what the keys do."""

    async def discover(self) -> Hits:
        """Everything, before a letter was typed."""
        for key in self._keys():
            yield DiscoveryHit(_title(key), self._does(key), help=key.gist)

    async def search(self, query: str) -> Hits:
        """What matches the letters typed, in the name or in the help."""
        matcher = self.matcher(query)
        for key in self._keys():
            score = max(matcher.match(_title(key)), 0.5 * matcher.match(key.gist))
            if score > 0:
                yield Hit(score, matcher.highlight(_title(key)), self._does(key), help=key.gist)

    def _keys(self) -> Iterator[Key]:
        assert isinstance(self.app, WithKeys), "whoever offers the keys has them"
        return keymap.commands(self.app.keys)

    def _does(self, key: Key) -> Callable[[], Coroutine[None, None, bool]]:
        return partial(self.app.run_action, key.click, self.screen)


def _title(key: Key) -> str:
    return f"{key.label}  ({key.shown})"
