"""The look: a dark theme of our own and its light sister. Textual's own themes stay available in the palette."""

from textual.theme import Theme

DARK = Theme(
    name="tuitrain-dark",
    primary="#7aa7d9",
    secondary="#8a93c9",
    accent="#e2a76f",
    foreground="#d5dae1",
    background="#101418",
    surface="#151a20",
    panel="#1e252d",
    success="#8fbf7f",
    warning="#e3b65b",
    error="#e5707a",
    dark=True,
    variables={
        "border": "#39434f", "border-blurred": "#2a323b", "block-cursor-text-style": "none",
        "scrollbar": "#39434f", "scrollbar-hover": "#4b5866", "scrollbar-active": "#7aa7d9",
        "scrollbar-background": "#151a20", "scrollbar-background-hover": "#151a20",
        "scrollbar-background-active": "#151a20", "scrollbar-corner-color": "#151a20",
    },
)  # fmt: skip

LIGHT = Theme(
    name="tuitrain-light",
    primary="#2f6299",
    secondary="#565f99",
    accent="#a2601d",
    foreground="#23292f",
    background="#f6f5f1",
    surface="#efeee9",
    panel="#e4e2dc",
    success="#3d7a2f",
    warning="#8f6500",
    error="#b3323f",
    dark=False,
    variables={
        "border": "#b9b6ad", "border-blurred": "#cfccc4", "block-cursor-text-style": "none",
        "scrollbar": "#b9b6ad", "scrollbar-hover": "#a3a096", "scrollbar-active": "#2f6299",
        "scrollbar-background": "#efeee9", "scrollbar-background-hover": "#efeee9",
        "scrollbar-background-active": "#efeee9", "scrollbar-corner-color": "#efeee9",
    },
)  # fmt: skip
