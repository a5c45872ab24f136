"""Commands as a person writes them, and as they travel."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.errors import UserError
from tuitrain.record.commands import (
    WORDS,
    AnyCommand,
    Checkpoint,
    Set,
    StepOnce,
    Stop,
    Validate,
    allowed,
    check,
    new_id,
    parse,
    spell,
)
from tuitrain.record.events import Value
from tuitrain.record.link import Inbox

SWITCHES = [name for name, word in WORDS.items() if word.kind == "switch"]
NUMBERS = [name for name, word in WORDS.items() if word.kind == "positive"]


def test_the_vocabulary_is_that_of_the_manual() -> None:
    assert set(WORDS) == {
        "overfit", "shuffle", "normalise", "clip", "max_norm", "clip_by", "eval", "register", "lr", "pause",
    }  # fmt: skip
    assert all(word.help for word in WORDS.values())


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(("raw", "value"), [("on", True), ("off", False), ("ON", True), (" Off ", False)])
def test_switches(name: str, raw: str, value: bool) -> None:
    command = parse(f"{name}={raw}")
    assert (command.name, command.value, command.word, command.by) == (name, value, name, "--at")
    assert command.value is value


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(("raw", "value"), [("1", 1.0), ("1e-3", 0.001), (".5", 0.5), ("  2.5 ", 2.5)])
def test_numbers(name: str, raw: str, value: float) -> None:
    read = parse(f" {name} = {raw}").value
    assert read == value
    assert isinstance(read, float)


@pytest.mark.parametrize("text", ["clip=on", "pause=off", "overfit=keep", "clip_by=norm", "lr=1e-3", "max_norm=7"])
def test_what_a_person_may_write_may_be_sent_and_nothing_else(text: str) -> None:
    command = parse(text)
    check(command)
    wrong: list[Value] = [math.nan, math.inf, 0.0, -1.0, "nothing", ""]
    for value in wrong if WORDS[command.name].kind == "switch" else [*wrong, True, False]:
        with pytest.raises(UserError, match=f"{command.name} takes"):
            check(msgspec.structs.replace(command, value=value))


def test_what_only_the_run_can_know_is_not_checked_before() -> None:
    for command in (Set(name="sixth", value="any"), Stop(), Validate()):
        check(command)


def test_choices() -> None:
    assert parse("clip_by=value").value == "value"
    assert parse("clip_by=norm").value == "norm"
    assert parse("overfit=keep").value == "keep"
    assert parse("clip=on", by="key").by == "key"


@pytest.mark.parametrize("text", ["", "=", "=on", "overfit", "overfitt=on", "on", "Overfit=on", "over fit=on", "-1=on"])
def test_an_unknown_word_names_the_words_there_are(text: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text)
    assert repr(text) in str(error.value)
    assert all(name in str(error.value) for name in WORDS)


@pytest.mark.parametrize(
    "text",
    [
        "overfit=", "overfit=1", "overfit=true", "overfit=norm", "shuffle=keep", "overfit=on=off",
        "max_norm=0", "max_norm=-1", "max_norm=nan", "max_norm=inf", "max_norm=1e999", "lr=fast", "lr=on", "lr=",
        "clip_by=on", "clip_by=both", "pause=keep",
    ],
)  # fmt: skip
def test_an_impossible_value_names_the_word_and_what_it_takes(text: str) -> None:
    name = text.partition("=")[0]
    with pytest.raises(UserError) as error:
        parse(text)
    assert str(error.value) == f"{text} is not possible: {name} takes {allowed(name)}."


def test_what_is_allowed_in_words() -> None:
    assert allowed("overfit") == "on, off, keep"
    assert allowed("shuffle") == "on, off"
    assert allowed("lr") == "a number above 0"
    assert allowed("clip_by") == "norm, value"


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_read_back_as_it_is_spelled(name: str) -> None:
    values: list[Value] = [True, False, *WORDS[name].choices]
    for value in values:
        assert parse(f"{name}={spell(value)}").value == value


@given(st.floats(min_value=1e-300, max_value=1e300, allow_nan=False))
def test_a_number_is_read_back_within_four_digits(number: float) -> None:
    read = parse(f"lr={spell(number)}").value
    assert isinstance(read, float)
    assert math.isclose(read, number, rel_tol=1e-3)


def test_every_command_has_its_own_id_and_a_word() -> None:
    commands: list[AnyCommand] = [Set(name="clip", value=True), StepOnce(), Validate(), Checkpoint(), Stop()]
    assert len({command.id for command in commands} | {new_id() for _ in range(10)}) == len(commands) + 10
    assert [command.word for command in commands] == ["clip", "steponce", "validate", "checkpoint", "stop"]


def test_a_command_is_the_same_after_a_journey() -> None:
    commands: list[AnyCommand] = [Set(name="lr", value=0.5, by="web"), Set(name="clip", value=True), Stop(id="x")]
    for command in commands:
        assert msgspec.json.decode(msgspec.json.encode(command), type=AnyCommand) == command


def test_an_inbox_gives_what_is_due_then_what_was_sent_each_once() -> None:
    early, late, sent = Set(name="clip", value=True), Set(name="clip", value=False), Stop()
    inbox = Inbox([(90, late), (50, early)])
    assert inbox.due(49) == []
    inbox.send(sent)
    assert inbox.due(50) == [early, sent]
    assert inbox.scheduled == [(90, late)]
    assert inbox.due(50) == []
    assert inbox.due(200) == [late]
    assert inbox.wait(0.0) == []
    inbox.send(sent)
    assert inbox.wait(10.0) == [sent]
