"""The compiler is loaded by what needs it, and then it works; an optimizer does not need it."""

import subprocess
import sys

PROGRAM = """
import sys
import torch
from tuitrain.engine.deferred_compiler import defer_compiler

defer_compiler()
stand_in = sys.modules["torch._dynamo"]
weight = torch.nn.Parameter(torch.ones(3))
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adadelta):
    optimizer = kind([weight], lr=0.1)
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
assert sys.modules["torch._dynamo"] is stand_in, "an optimizer has loaded the compiler"
assert not any(name.startswith("torch._dynamo.") for name in sys.modules)
[getattr(module, "__file__", None) for module in list(sys.modules.values())]
assert sys.modules["torch._dynamo"] is stand_in, "who goes through all modules has loaded the compiler"

import torch._dynamo.config  # a module within it

real = sys.modules["torch._dynamo"]
assert real is not stand_in and real.__file__
assert torch._dynamo.graph_break is real.graph_break
assert stand_in.explain is real.explain, "who still holds the stand-in gets what the real one has"
defer_compiler()
assert sys.modules["torch._dynamo"] is real, "what is loaded is left alone"
graphs = []
compiled = torch.compile(lambda x: x * 2, backend=lambda graph, _: graphs.append(graph) or graph, fullgraph=True)
assert torch.equal(compiled(weight), weight * 2) and len(graphs) == 1
print("all of it")
"""


def test_an_optimizer_does_not_load_it_and_what_needs_it_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("all of it", 0), done.stderr
