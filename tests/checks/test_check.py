"""`tuitrain check`, `rules`, `explain`: what they print, and their exit codes."""

import json
import textwrap
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from tuitrain.checks import RULES
from tuitrain.checks.rule import Rule, Severity
from tuitrain.cli import tuitrain
from tuitrain.preset import load_preset
from tuitrain.record.events import End, Finding
from tuitrain.verbs.check import exit_code
from tuitrain.verbs.check_report import as_github, as_json, as_text
from tuitrain.verbs.checking import Checked

PROGRAM = """
import torch, sys
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(64, 6)
loader = DataLoader(TensorDataset(x, x[:, :3].argmax(1)), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
print("begins", sys.argv[1:])
for epoch in range(1000):
    for inputs, targets in loader:
        {zero}
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
"""
END = End(steps=3, executed_steps=3, val_accuracy=None, val_loss=None, weights_sha256=None, reason="stopped")


def tell(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(tuitrain, list(arguments))


def program(directory: Path, *, zero: str) -> str:
    path = directory / "train.py"
    path.write_text(textwrap.dedent(PROGRAM).replace("{zero}", zero))
    return str(path)


def checked(*severities: Severity, reason: str = "stopped") -> Checked:
    """A check that found something of each severity."""
    found = [
        Finding(
            executed=2,
            step=2,
            rule="a-rule",
            severity=severity,
            message="50 % wrong",
            where="net.fc · a b.py:7",
            remedy="Do.",
        )
        for severity in severities
    ]
    end = msgspec.structs.replace(END, reason=reason)
    return Checked("train.py", steps=3, findings=found, end=end, overfit="pass", overfit_says="PASS in 2 steps")


def test_a_sound_script_as_a_page(tmp_path: Path) -> None:
    done = tell("check", program(tmp_path, zero="optimizer.zero_grad()"), "--steps", "12", "--strict", "--epochs", "2")
    assert done.exit_code == 0, done.output
    assert "overfit one batch: PASS" in done.output
    assert "Nothing wrong was found." in done.output
    assert "begins" not in done.output


def test_a_faulty_script_as_json(tmp_path: Path) -> None:
    script = program(tmp_path, zero="pass")
    done = tell("check", script, "--json", "--steps", "12")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert (found["target"], found["steps"]) == (script, 12)
    assert found["overfit"] in ("pass", "fail")
    first = found["findings"][0]
    assert set(first) == {"rule", "severity", "step", "message", "where", "remedy"}
    assert (first["rule"], first["severity"]) == ("gradients-never-zeroed", "error")
    assert first["where"].endswith("train.py:16")


def test_what_cannot_be_run_says_why(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print('opening')\nraise SystemExit('no data here')\n")
    done = tell("check", str(script), "--json")
    assert done.exit_code == 2
    assert "no data here" in done.stderr
    assert done.stderr.splitlines()[-1] == f"tuitrain: {script} failed: it ended after 0 steps."
    assert json.loads(done.stdout) == {"target": str(script), "steps": 0, "overfit": "unavailable", "findings": []}


def test_a_faulty_preset() -> None:
    done = tell("check", "unregistered", "--steps", "5", "--json", "--ignore", "cannot-overfit")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert (found["target"], found["steps"], found["overfit"]) == ("unregistered", 5, "fail")
    assert [(each["rule"], each["where"]) for each in found["findings"]] == [("unregistered-modules", "layers")]


def test_a_preset_names_the_rules_that_it_leaves_out(tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text('title = "Mine"\n[checks]\nignore = ["no-shuffle", "no-shuffel"]\n')
    assert load_preset(preset).checks.ignore == ("no-shuffle", "no-shuffel")
    done = tell("check", str(preset))
    assert done.exit_code == 2
    assert done.stderr == "tuitrain: There is no rule 'no-shuffel': did you mean no-shuffle?\n"


@pytest.mark.parametrize(
    ("severities", "strict", "reason", "code"),
    [
        ((), True, "stopped", 0),
        (("hint",), True, "finished", 0),
        (("warning", "hint"), False, "stopped", 0),
        (("warning",), True, "stopped", 1),
        (("error",), False, "stopped", 1),
        (("error",), False, "failed", 2),
        ((), False, "bad input", 2),
    ],
)
def test_exit_codes(severities: tuple[Severity, ...], strict: bool, reason: str, code: int) -> None:
    assert exit_code(checked(*severities, reason=reason), strict=strict) == code


def test_a_run_without_an_end_has_failed() -> None:
    assert exit_code(Checked("train.py"), strict=False) == 2


def test_the_gravest_come_first() -> None:
    found = json.loads(as_json(checked("hint", "error", "warning"), strict=False))
    assert [each["severity"] for each in found["findings"]] == ["error", "warning", "hint"]
    assert list(found) == ["target", "steps", "overfit", "findings"]


def test_annotations() -> None:
    error, hint, summary = as_github(checked("error", "hint"), strict=False).splitlines()
    assert error == "::error file=a b.py,line=7,title=tuitrain%3A a-rule::50 %25 wrong Do."
    assert hint.startswith("::notice file=a b.py,line=7,")
    assert summary == "1 error, 1 hint. tuitrain explain RULE says more."


def test_the_page() -> None:
    page = click.unstyle(as_text(checked("warning", "warning"), strict=True))
    assert page.count("! warning  a-rule  step 2") == 2
    assert "at net.fc · a b.py:7" in page
    assert page.splitlines()[-1] == "2 warnings (strict: warnings fail, too). tuitrain explain RULE says more."


def test_where_nothing_was_seen_nothing_is_claimed() -> None:
    seen, unseen = (as_text(Checked("train.py", end=END, steps=steps), strict=False) for steps in (1, 0))
    assert "Nothing wrong was found." in seen
    assert "Nothing wrong" not in unseen
    assert unseen.splitlines()[-1].startswith("No optimizer stepped, so hardly anything could be checked")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "nowhere.py"), "There is no script nowhere.py"),
        (("check", "mnist", "train.py"), "mnist is a preset, which takes no arguments"),
        (("check", "mnist", "--json", "--github"), "cannot be had together"),
        (("check", "mnist", "--ignore", "no-shufle"), "did you mean no-shuffle?"),
        (("explain", "everything"), "There is no rule 'everything'"),
        (("mnist", "--ignore", "nothing"), "There is no rule 'nothing'"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = tell(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_list_of_rules() -> None:
    lines = tell("rules").output.splitlines()
    assert lines[-1].startswith(f"{len(RULES)} rules;")
    assert sum(line.startswith("  ") for line in lines) == len(RULES)
    listed = [json.loads(line) for line in tell("rules", "--json").output.splitlines()]
    assert {entry["slug"] for entry in listed} == {rule.slug for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.slug)
def test_every_rule_has_a_page(rule: Rule) -> None:
    page = tell("explain", rule.slug).output
    for part in (rule.slug, "Bad:", "Good:", "Do: ", "Silent for: ", "Found: "):
        assert part in page
    assert max(map(len, page.splitlines())) <= 120
