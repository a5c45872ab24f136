"""The judge: twice in a row before it speaks, once a place, and a rule that fails is switched off and named."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tuitrain.checks.judge import Judge
from tuitrain.checks.rule import Rule, Severity, Trouble, Troubles, rule
from tuitrain.engine.observer import Announcer, Observed, Observer
from tuitrain.engine.script.guard import Guard


@dataclass(frozen=True)
class Seen:
    """Where something is wrong this time."""

    places: Sequence[str]
    certain: bool = False


def a_rule(*, hits: int = 2, severity: Severity = "warning", word: str = "") -> Rule:
    """Finds what is wrong at each place; "boom" makes it fail."""

    @rule(
        slug="a-rule",
        number=1,
        family="loop",
        severity=severity,
        cost="E",
        title="",
        why="",
        silent="",
        remedy="Do it.",
        key="x",
        word=word,
        within=2,
        hits=hits,
        bad="",
        good="",
    )
    def look(seen: Seen) -> Troubles:
        for place in seen.places:
            if place == "boom":
                raise RuntimeError("boom")
            yield Trouble(message="wrong", place=place, site="", certain=seen.certain)

    return look


class Run:
    """Takes down what is said."""

    def __init__(self, switches: Sequence[str] = ()) -> None:
        self.said: list[dict[str, Any]] = []
        self.told: list[str] = []
        self.guard = Guard(self.told.append)
        self.recorder = SimpleNamespace(say=lambda kind, **fields: self.said.append(fields))
        self._switches = switches

    def has_switch(self, word: str) -> bool:
        return word in self._switches


def judge_of(run: Run, *rules: Rule) -> Judge:
    return Judge(cast(Observed, run), rules)


places = st.lists(st.sampled_from("abc"), unique=True)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), places), max_size=30))
def test_twice_in_a_row_in_a_scope_and_once_a_place(looks: list[tuple[int, list[str]]]) -> None:
    run = Run()
    judge = judge_of(run, a_rule())
    expected: set[tuple[int, str]] = set()
    before: dict[int, list[str]] = {}
    for scope, wrong in looks:
        judge(Seen(wrong), scope)
        expected |= {(scope, place) for place in wrong if place in before.get(scope, ())}
        before[scope] = wrong
    assert len(run.said) == len(expected)
    assert sorted(said["where"] for said in run.said) == sorted(place for _, place in expected)


def test_what_is_certain_needs_no_second_time() -> None:
    run = Run()
    judge_of(run, a_rule())(Seen("a", certain=True))
    assert [said["where"] for said in run.said] == ["a"]


def test_a_rule_that_fails_is_named_once_and_the_others_go_on() -> None:
    run = Run()
    broken, sound = a_rule(hits=1), a_rule(hits=1)
    judge = judge_of(run, broken)
    judge(Seen(["boom"]))
    judge(Seen(["a"]))
    assert not run.said
    assert len(run.told) == 1
    assert run.told[0].startswith("tuitrain's observer of the check a-rule failed (RuntimeError: boom")
    judge_of(Run(), sound)(Seen(["a"]))


def test_the_key_is_named_only_where_it_works() -> None:
    for switches, key in ((["word"], "x"), ([], "")):
        run = Run(switches)
        judge_of(run, a_rule(hits=1, word="word"))(Seen(["a"]))
        assert run.said == [
            {"rule": "a-rule", "severity": "warning", "message": "wrong", "where": "a", "remedy": "Do it.", "key": key}
        ]


def test_other_subjects_are_left_alone() -> None:
    run = Run()
    judge_of(run, a_rule(hits=1))("a string")
    assert not run.said


class Listening(Observer):
    """Takes down what it hears, and fails where it is told to."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.heard: list[str] = []

    def scaled(self) -> None:
        self.heard.append("scaled")
        if self.fails:
            raise RuntimeError("boom")

    def ended(self) -> None:
        self.heard.append("ended")


def test_an_observer_that_fails_hears_no_more_and_the_others_go_on() -> None:
    told: list[str] = []
    broken, sound = Listening("the broken one", fails=True), Listening("the sound one")
    announcer = Announcer([broken, sound], Guard(told.append))
    announcer.scaled()
    announcer.scaled()
    announcer.skipped()  # which none of them overrides
    announcer.ended()
    assert (broken.heard, sound.heard) == (["scaled"], ["scaled", "scaled", "ended"])
    assert len(told) == 1
    assert told[0].startswith("tuitrain's observer of the broken one failed (RuntimeError: boom")
