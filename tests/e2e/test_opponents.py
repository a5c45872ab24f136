"""Two viewers of one run that trains, who want opposite things of it between the same two steps."""

import json
import math
from pathlib import Path

import psutil

from tests.e2e.detached import Detached, detached
from tests.e2e.terminal import TIMEOUT_S
from tests.e2e.watched import ENDLESS
from tests.e2e.witness import wait_until
from tests.record.sockets import child, line, tell
from tuitrain.record.commands import Set
from tuitrain.record.link import SocketLink
from tuitrain.record.runs import JOURNAL

ROUNDS = 400
PAUSED_AT = 20
OPPONENT = """
import json, sys
from contextlib import closing
from pathlib import Path
from tuitrain.record.commands import Set
from tuitrain.record.events import Applied, Switches
from tuitrain.record.journal import Reader
from tuitrain.record.link import SocketLink
journal, value, count, timeout_s = Path(sys.argv[1]), sys.argv[2] == "on", int(sys.argv[3]), float(sys.argv[4])
link, sent, seen, shown = SocketLink(journal.parent, name=sys.argv[2]), [], [], None
with closing(link), closing(Reader(journal)) as reader:
    print(link.speaker, flush=True)
    while len(sent) < count:
        sys.stdin.readline()
        command = Set(name="clip", value=value)
        link.send(command)
        sent.append(command.id)
        link.settle(timeout_s)
        print("taken", flush=True)
    while len(seen) < 2 * count:
        for event in reader.poll().events:
            if isinstance(event, Applied) and event.word == "clip":
                seen.append((event.executed, event.id, event.by, event.value))
            elif isinstance(event, Switches):
                shown = event.values["clip"]
print(json.dumps({"sent": sent, "seen": seen, "shown": shown}), flush=True)
"""
"""A viewer that sends one value of a switch at each line it is told, and then says what it saw."""


def test_two_viewers_who_disagree_between_the_same_two_steps(tmp_path: Path) -> None:
    words = ("mnist", *ENDLESS, "--batch-size", "8", "--at", str(PAUSED_AT), "pause=on")
    with detached(tmp_path, *words) as run:
        wait_until(lambda: run.view.status.state == "paused", psutil.Process(run.pid))
        arguments = (ROUNDS, TIMEOUT_S)
        journal = run.directory / JOURNAL
        with child(OPPONENT, journal, "on", *arguments) as on, child(OPPONENT, journal, "off", *arguments) as off:
            speakers = [line(viewer) for viewer in (on, off)]
            for number in range(ROUNDS):
                for viewer in (on, off) if number % 2 else (off, on):
                    tell(viewer, "go")
                assert [line(viewer) for viewer in (on, off)] == ["taken", "taken"]
            ends = [json.loads(line(viewer)) for viewer in (on, off)]
        order = [
            [change.executed, change.id, change.by, change.value]
            for change in run.view.changes
            if change.word == "clip"
        ]
        assert len(order) == 2 * ROUNDS
        assert {executed for executed, *_ in order} == {PAUSED_AT}
        for end, speaker, value in zip(ends, speakers, (True, False), strict=True):
            assert end["seen"] == order, "one order for all"
            assert [[id_, set_to] for _, id_, by, set_to in order if by == speaker] == [
                [id_, value] for id_ in end["sent"]
            ]
            assert end["shown"] == run.view.switches["clip"] == order[-1][3]
        assert {by for _, _, by, _ in order[::2]} == set(speakers), "each came first at times"
        assert clips_in_the_next_step(run) == order[-1][3]


def clips_in_the_next_step(run: Detached) -> bool:
    """Let the run go on, and see whether it clips."""
    link = SocketLink(run.directory)
    link.send(Set(name="pause", value=False))
    link.settle(TIMEOUT_S)
    link.close()
    wait_until(lambda: run.executed > PAUSED_AT, psutil.Process(run.pid))
    last = run.view.last_step
    assert last is not None
    return not math.isnan(last.max_norm)
