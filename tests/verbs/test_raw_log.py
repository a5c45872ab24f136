"""The raw log: what a process without a terminal prints, in a real process, to the last word of one that crashes."""

import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuitrain.verbs.raw_log import LOG, MOST_UNRECORDED, unrecorded

ROOT = Path(__file__).parents[2]

PRELUDE = """
import os, resource, signal, sys, warnings
from pathlib import Path
from tuitrain.verbs.raw_log import RawLog
heard = []
home = Path(sys.argv[1])
def end():
    (home / "heard").write_text("".join(f"{stream}:{text}\\n" for stream, text in heard))
"""


def run(home: Path, body: str) -> int:
    """Run `body` in a process of its own, with the log in `home`; its exit code."""
    program = PRELUDE + body
    done = subprocess.run([sys.executable, "-W", "error", "-c", program, str(home)], cwd=ROOT, check=False)
    return done.returncode


def test_what_is_printed_is_in_the_file_and_handed_on_line_by_line(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("of another time\n")
    body = """
with RawLog(home, lambda *line: heard.append(line)):
    print("from Python")
    print("to stderr", file=sys.stderr)
    os.write(1, b"from below\\n")
    os.system("echo from a child")
    print("10 %\\r100 %")
    print("without end", end="")
end()
"""
    assert run(tmp_path, body) == 0
    lines = ["from Python", "to stderr", "from below", "from a child", "100 %", "without end"]
    assert (tmp_path / "heard").read_text().splitlines() == [f"stdout:{line}" for line in lines]
    raw = (tmp_path / LOG).read_bytes()
    assert raw.startswith(b"of another time\nfrom Python\n")
    assert raw.endswith(b"10 %\r100 %\nwithout end")


def test_a_log_that_takes_no_more_ends_no_run(tmp_path: Path) -> None:
    body = """
with RawLog(home, lambda *line: heard.append(line)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    for _ in range(100):
        print("some line")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("the last one")
end()
"""
    assert run(tmp_path, body) == 0
    heard = (tmp_path / "heard").read_text().splitlines()
    assert heard[:10] == ["stdout:some line"] * 10
    assert heard[-1].endswith("the last one")
    assert len(heard) < 20


def test_the_last_words_of_a_crash_are_in_the_file(tmp_path: Path) -> None:
    body = """
RawLog(home, lambda *line: heard.append(line)).__enter__()
print("before")
os.write(2, b"Fatal: no such kernel\\n")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(tmp_path, body) == -9
    assert unrecorded(tmp_path, ["before"]) == ["Fatal: no such kernel"]
    assert unrecorded(tmp_path, []) == ["before", "Fatal: no such kernel"]
    assert unrecorded(tmp_path, ["before", "Fatal: no such kernel"]) == []


TEXTS = st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=5), max_size=80)


@given(TEXTS, TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example writes the file anew
def test_what_the_journal_lacks_is_what_comes_after_it(tmp_path: Path, recorded: list[str], rest: list[str]) -> None:
    (tmp_path / LOG).write_text("".join(f"{line}\n" for line in recorded + rest))
    assert unrecorded(tmp_path, recorded) == rest
    if recorded:
        assert unrecorded(tmp_path, ["something else", *recorded]) == (recorded + rest)[-MOST_UNRECORDED:]


def test_a_run_without_a_raw_log_lacks_nothing(tmp_path: Path) -> None:
    assert unrecorded(tmp_path, ["printed elsewhere"]) == []
