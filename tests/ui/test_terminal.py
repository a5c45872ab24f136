"""The private terminal, in real pseudo-terminals, with real child processes."""

import json
import sys
from pathlib import Path
from typing import Any

import pexpect

ROOT = Path(__file__).parents[2]

PRELUDE = """
import json, logging, os, subprocess, sys, termios, threading
from tuitrain.ui.terminal import OwnTerminal, is_terminal
lines = []
def on_line(stream, text):
    lines.append((stream, text))
def report(**facts):
    print("REPORT" + json.dumps({"lines": lines, "fds": sorted(os.listdir("/proc/self/fd")),
                                 "threads": threading.active_count(), **facts}))
"""


def run_in_terminal(body: str, *, check: int = 0) -> tuple[str, dict[str, Any]]:
    """Run a program in an 80 x 24 terminal: what it showed there before its report, and the report."""
    arguments = ["-W", "error", "-c", PRELUDE + body]
    child = pexpect.spawn(sys.executable, arguments, cwd=str(ROOT), encoding="utf-8", timeout=60, echo=False)
    child.expect(pexpect.EOF)
    child.close()
    assert "Warning: " not in (child.before or "")
    shown, _, rest = (child.before or "").partition("REPORT")
    assert child.exitstatus == check, child.before
    return shown, json.loads(rest) if rest else {}


def test_everything_that_is_written_comes_out_as_lines_and_only_the_screen_reaches_the_terminal() -> None:
    shown, report = run_in_terminal("""
with OwnTerminal(on_line):
    print("print")
    os.write(1, b"raw\\n")
    os.write(2, b"raw error\\n")
    subprocess.run(["sh", "-c", "echo child; echo child error >&2"], check=True)
    logging.basicConfig(stream=sys.stderr)
    logging.warning("logged")
    sys.__stderr__.write("DRAWN"); sys.__stderr__.flush()
print("after")
report()
""")
    assert [text for stream, text in report["lines"] if stream == "stdout"] == ["print", "raw", "child"]
    errors = [text for stream, text in report["lines"] if stream == "stderr"]
    assert errors == ["raw error", "child error", "WARNING:root:logged"]
    assert shown.replace("\r\n", "|") == "DRAWNafter|"


def test_leaving_gives_back_every_descriptor_and_thread() -> None:
    _, report = run_in_terminal("""
before = sorted(os.listdir("/proc/self/fd")), threading.active_count(), os.fstat(1), os.fstat(2)
for _ in range(3):
    with OwnTerminal(on_line):
        print("x")
after = sorted(os.listdir("/proc/self/fd")), threading.active_count(), os.fstat(1), os.fstat(2)
report(same=before == after)
""")
    assert report["same"]
    assert report["lines"] == [["stdout", "x"]] * 3


def test_an_error_inside_restores_the_terminal_and_its_settings() -> None:
    _, report = run_in_terminal("""
def settings():
    return [str(part) for part in termios.tcgetattr(0)]
before = settings()
try:
    with OwnTerminal(on_line):
        changed = termios.tcgetattr(0)
        changed[3] ^= termios.ICANON | termios.ISIG
        termios.tcsetattr(0, termios.TCSANOW, changed)
        assert settings() != before
        os.write(1, b"last words")
        1 / 0
except ZeroDivisionError:
    report(same=settings() == before, screen=[sys.__stderr__ is sys.stderr, sys.__stdout__ is sys.stdout])
""")
    assert report["same"]
    assert report["screen"] == [True, True]
    assert report["lines"] == [["stdout", "last words"]]


def test_a_child_that_outlives_the_screen_is_not_waited_for_and_what_it_wrote_in_time_is_kept() -> None:
    _, report = run_in_terminal("""
ready, signal = os.pipe()
with OwnTerminal(on_line):
    script = f"printf begun; echo ready >&{signal}; cat >/dev/null"
    child = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, pass_fds=[signal])
    assert os.read(ready, 5)
alive = child.poll() is None
child.stdin.close()
child.wait()
report(alive=alive)
""")
    assert report["alive"]
    assert report["lines"] == [["stdout", "begun"]]


def test_more_than_a_pipe_holds_is_kept_whole() -> None:
    _, report = run_in_terminal("""
with OwnTerminal(on_line):
    subprocess.run(["seq", "100000"], check=True)
numbers = [int(text) for _, text in lines]
lines.clear()
report(whole=numbers == list(range(1, 100001)))
""")
    assert report["whole"]


def test_an_error_in_the_receiver_is_raised_on_leaving_and_never_blocks_a_writer() -> None:
    _, report = run_in_terminal("""
def broken(stream, text):
    raise RuntimeError("broken " + text)
try:
    with OwnTerminal(broken):
        subprocess.run(["seq", "100000"], check=True)
except RuntimeError as error:
    report(error=str(error))
""")
    assert report["error"] == "broken 1"


def test_a_stderr_that_goes_to_a_file_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    shown, report = run_in_terminal(f"""
os.dup2(os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT), 2)
with OwnTerminal(on_line):
    os.write(2, b"for the file\\n")
    sys.__stderr__.write("DRAWN")
report()
""")
    assert log.read_text() == "for the file\n"
    assert report["lines"] == []
    assert shown == "DRAWN"


def test_textual_draws_on_it_while_prints_from_its_threads_come_out_as_lines() -> None:
    shown, report = run_in_terminal("""
from textual.app import App
from textual.widgets import Label
class Screen(App):
    def compose(self):
        yield Label("DRAWN")
    def on_ready(self):
        own.catch_prints()
        thread = threading.Thread(target=print, args=("from the trainer",))
        thread.start(); thread.join()
        print("from the screen", file=sys.stderr)
        os.write(1, b"raw\\n")
        sizes.append(self.size)
        self.call_after_refresh(self.exit)
sizes = []
with OwnTerminal(on_line) as own:
    Screen().run()
report(size=sizes[0], stdout=sys.stdout is sys.__stdout__)
""")
    assert sorted(report["lines"]) == [["stderr", "from the screen"], ["stdout", "from the trainer"], ["stdout", "raw"]]
    assert report["size"] == [80, 24]
    assert report["stdout"]
    assert "DRAWN" in shown
    assert "from the" not in shown
    assert "\x1b[?1049l" in shown


def test_is_terminal_looks_at_term() -> None:
    _, report = run_in_terminal("""
def found(term):
    os.environ["TERM"] = term
    return is_terminal()
report(found=[found(term) for term in ("xterm-256color", "linux", "dumb", "", "unknown")])
""")
    assert report["found"] == [True, True, False, False, False]


def test_is_terminal_looks_at_stdin_and_stdout() -> None:
    _, report = run_in_terminal("""
found = [is_terminal()]
for fd in 0, 1:
    kept = os.dup(fd)
    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    found.append(is_terminal())
    os.dup2(kept, fd)
report(found=found)
""")
    assert report["found"] == [True, False, False]
