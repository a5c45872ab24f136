"""The Rich styles of a widget, looked up once: Textual works them out again after each refresh."""

from rich.style import Style
from textual.widget import Widget


class StyleCache(dict[str, Style]):
    """Styles by the name of a component class; "" is the widget's own. To be cleared by its `notify_style_update`."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self._widget = widget

    def __missing__(self, name: str) -> Style:
        style = self[name] = self._widget.get_component_rich_style(name) if name else self._widget.rich_style
        return style
