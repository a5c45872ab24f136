"""The one engine: every rule looks at every subject of its kind; what it finds twice in a row is said, once a place."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable

from tuitrain.checks.rule import Rule, Trouble
from tuitrain.checks.seen.sites import script_site
from tuitrain.engine.observer import Observed
from tuitrain.record.events import Finding

Place = tuple[Hashable, str]
"""A scope, and where within it."""


class Judge:
    """Has rules look at subjects, and says what they find."""

    def __init__(self, run: Observed, rules: Iterable[Rule]) -> None:
        self._run = run
        self._rules: dict[type[object], list[Rule]] = defaultdict(list)
        for rule in rules:
            for subject in rule.subjects:
                self._rules[subject].append(rule)
        self._hits: dict[tuple[str, Hashable], Counter[str]] = {}
        self._said: set[tuple[str, Place]] = set()

    def looks_at(self, kind: type[object]) -> bool:
        """Whether a subject of this kind is worth making."""
        return kind in self._rules

    def __call__(self, subject: object, scope: Hashable = None) -> None:
        """Judge a subject. Hits are counted within a `scope`: an optimizer, a line of the script."""
        for rule in self._rules.get(type(subject), ()):
            troubles = self._run.guard(f"the check {rule.slug}", _listed, rule, subject)
            key = (rule.slug, scope)
            if troubles:
                self._count(rule, scope, troubles)
            elif key in self._hits:
                del self._hits[key]

    def _count(self, rule: Rule, scope: Hashable, troubles: list[Trouble]) -> None:
        """A place that is not found this time begins anew."""
        key = (rule.slug, scope)
        before = self._hits.get(key, Counter[str]())
        now = self._hits[key] = Counter[str]()
        for trouble in troubles:
            now[trouble.place] = before[trouble.place] + 1
            said = (rule.slug, (scope, trouble.place))
            if (trouble.certain or now[trouble.place] >= rule.hits) and said not in self._said:
                self._said.add(said)
                self._say(rule, trouble)

    def _say(self, rule: Rule, trouble: Trouble) -> None:
        site = script_site() if trouble.site is None else trouble.site
        self._run.recorder.say(
            Finding,
            rule=rule.slug,
            severity=trouble.severity or rule.severity,
            message=trouble.message,
            where=" · ".join(part for part in (trouble.place, site) if part),
            remedy=rule.remedy,
            key=rule.key if rule.word and self._run.has_switch(rule.word) else "",
        )


def _listed(rule: Rule, subject: object) -> list[Trouble]:
    return list(rule.look(subject))
