"""The host of a training that began before us: a process beside it, which records what it says. Loads no torch.

`python -m tuitrain.engine.script.alongside DESCRIPTOR NAME`, started by `watching.py`: no thread is started in the
training's own process, whose workers may be forked.
"""

import select
import socket
import sys
from contextlib import closing

import msgspec

from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.hearing import Hearing, ToScript
from tuitrain.engine.script.messages import Recorded
from tuitrain.errors import UserError
from tuitrain.record.control import ControlSocket
from tuitrain.record.events import LIVE_STATES, End, Status
from tuitrain.record.runs import NewRun, create_run, release_lease


def record(connection: socket.socket, name: str) -> None:
    """Record a run until its process breaks off; it is told where at first, or why not."""
    try:
        created = create_run(name)
    except UserError as error:
        connection.sendall(msgspec.json.encode(Recorded(trouble=str(error))) + b"\n")
        return
    connection.sendall(msgspec.json.encode(Recorded(directory=str(created.directory))) + b"\n")
    inbox, recorder = ToScript(trouble=lambda: created.journal.trouble), Recorder(created.journal)
    hearing = Hearing(connection, recorder, inbox)
    with closing(ControlSocket(created.directory, inbox)) as control:
        for trouble in filter(None, (created.trouble, control.trouble)):
            recorder.log(trouble)
        while hearing.hear():
            select.select([connection], [], [])
        inbox.close()
    hearing.reject_the_unanswered()
    _end(created, recorder, hearing.last_status)


def _end(created: NewRun, recorder: Recorder, said: Status | None) -> None:
    """Record how it ended: as its process said, or without a word."""
    position = recorder.position
    state = said.state if said is not None else "loading"
    if state in LIVE_STATES:
        state = "failed"
        recorder.say(Status, state=state, message="Its process ended in the middle of it.")
    recorder.say(
        End,
        steps=position.step,
        executed_steps=position.executed,
        val_accuracy=None,
        val_loss=None,
        weights_sha256=None,
        reason=state,
    )
    created.journal.close()
    release_lease(created.directory)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        record(_connection, sys.argv[2])
