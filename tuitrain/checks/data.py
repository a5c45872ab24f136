"""Tip 2, the data: its order, what it has in common with what is evaluated, and whether it is finite."""

from torch.utils.data import BatchSampler, DistributedSampler, IterableDataset, SequentialSampler

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.feeding import Epoch, NotFinite, Order, Source, Sources
from tuitrain.checks.seen.placing import Placing
from tuitrain.checks.seen.reports import Report


@rule(
    slug="no-shuffle",
    number=8,
    family="data",
    severity="hint",
    cost="E",
    title="training data is not shuffled",
    why="Every epoch has the same batches in the same order; data sorted by class teaches one class after the other. "
    "The order may be meant, or mixed already: that it does harm is said by sorted-labels.",
    silent="One batch an epoch, samplers of one's own, iterable data sets.",
    remedy="Give the DataLoader shuffle=True.",
    key="s",
    word="shuffle",
    within=3,
    bad="DataLoader(train_set, batch_size=64)",
    good="DataLoader(train_set, batch_size=64, shuffle=True)",
)
def no_shuffle(order: Order) -> Troubles:
    """A DataLoader that is trained on gives its samples in order."""
    in_order = type(order.sampler) is SequentialSampler and type(order.batch_sampler) is BatchSampler
    if not in_order or isinstance(order.dataset, IterableDataset) or order.batches < 2 or order.by_closure:
        return
    yield Trouble(message=f"The {order.batches:,} batches of an epoch come in the same order each time.")


@rule(
    slug="not-normalised",
    number=6,
    family="data",
    severity="hint",
    cost="D",
    title="inputs are off centre or off scale",
    why="Weights are initialised for inputs of mean 0 and deviation 1: others make the first layer saturate or starve.",
    silent="Integers (tokens, indices), and what is not known to be an image or a feature.",
    remedy="Subtract the training set's mean and divide by its deviation, in training and validation alike.",
    key="n",
    word="normalise",
    within=100,
    bad="transforms.ToTensor()",
    good="transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])",
)
def not_normalised(report: Report) -> Troubles:
    """The tip's verdict on what the model receives."""
    if report.says("normalise", "warning"):
        yield Trouble(message=f"The model receives inputs of {report.summary}.", site="")


@rule(
    slug="sorted-labels",
    number=9,
    family="data",
    severity="warning",
    cost="D",
    title="the labels of a batch are not mixed",
    why="Batches of one class after the other pull the weights back and forth; batch norm sees one class at a time.",
    silent="Batches of fewer than eight samples, and targets that are no classes.",
    remedy="Shuffle (s), or use a sampler that mixes the classes.",
    key="s",
    word="shuffle",
    within=100,
    bad="DataLoader(sorted_by_class, batch_size=64)",
    good="DataLoader(sorted_by_class, batch_size=64, shuffle=True)",
)
def sorted_labels(report: Report) -> Troubles:
    """The tip's verdict on the labels of the last batch."""
    if report.says("shuffle", "bad"):
        yield Trouble(message=f"Labels of a batch: {report.row('labels')}, {report.row('entropy')}.", site="")


@rule(
    slug="sampler-without-epoch",
    number=10,
    family="data",
    severity="error",
    cost="E",
    title="DistributedSampler without set_epoch",
    why="It shuffles by its epoch number: without set_epoch() every epoch has the same order.",
    silent="A sampler that does not shuffle.",
    remedy="Call sampler.set_epoch(epoch) before each epoch.",
    within=100,
    hits=1,
    bad="for epoch in range(epochs):\n    for x, y in loader: ...",
    good="for epoch in range(epochs):\n    sampler.set_epoch(epoch)\n    for x, y in loader: ...",
)
def sampler_without_epoch(epoch: Epoch) -> Troubles:
    """A new pass, and the sampler's epoch is the one of the pass before."""
    sampler = epoch.sampler
    if isinstance(sampler, DistributedSampler) and sampler.shuffle and sampler.epoch == epoch.epoch_before:
        yield Trouble(message=f"Pass {epoch.passes} over the data has the order of the one before.")


@rule(
    slug="evaluated-on-training-data",
    number=11,
    family="data",
    severity="warning",
    cost="E",
    title="what is evaluated was trained on",
    why="The result measures memory, not what was learned.",
    silent="Runs that evaluate other data as well: the accuracy on training data is worth knowing. A hint only where a "
    "whole data set is both.",
    remedy="Split without overlap (random_split), and evaluate on what is held out.",
    within=100,
    hits=1,
    bad="train, val = Subset(data, range(80)), Subset(data, range(60, 100))",
    good="train, val = Subset(data, range(80)), Subset(data, range(80, 100))",
)
def evaluated_on_training_data(sources: Sources) -> Troubles:
    """Every data set that was evaluated has samples that were trained on."""
    common = [max(_overlap(each, trained) for trained in sources.trained) for each in sources.evaluated]
    if not all(common):
        return
    whole = any(each.indices is None for each in sources.evaluated)
    yield Trouble(
        message="The data that is evaluated is the data that is trained on."
        if whole
        else f"{max(common):,} samples that are evaluated are trained on as well.",
        severity="hint" if whole else None,
    )


@rule(
    slug="data-not-finite",
    number=12,
    family="data",
    severity="error",
    cost="D",
    title="NaN or Inf in a batch",
    why="One value that is not finite makes the loss NaN, and then every weight.",
    silent="Targets and inputs that are no floating-point numbers; batches between those that are looked at.",
    remedy="Find the sample, and clean or drop it: torch.nan_to_num, or a check in __getitem__.",
    within=20,
    hits=1,
    bad="inputs = (inputs - mean) / std  # std is 0 for some",
    good="inputs = (inputs - mean) / std.clamp_min(1e-6)",
)
def data_not_finite(found: NotFinite) -> Troubles:
    """A batch has a value that is not finite."""
    yield Trouble(message=f"Batch {found.batch:,}: {found.what} has values that are NaN or infinite.", place=found.what)


@rule(
    slug="model-on-cpu",
    number=55,
    family="data",
    severity="warning",
    cost="E",
    title="an accelerator is there, and the model is on the CPU",
    why="Training is many times slower than it has to be.",
    silent="Models with fewer than 100,000 parameters, which a CPU may train as fast.",
    remedy="Move model and batches to the device: .to(torch.accelerator.current_accelerator()).",
    within=2,
    hits=1,
    bad="model = Net()",
    good='model = Net().to("cuda")',
)
def model_on_cpu(placing: Placing) -> Troubles:
    """All parameters of a large model are on the CPU of a machine with an accelerator."""
    if placing.accelerator and placing.devices == {"cpu"} and placing.parameters >= placing.LARGE:
        yield Trouble(message=f"{placing.parameters:,} parameters on the CPU; there is {placing.accelerator}.")


def _overlap(one: Source, other: Source) -> int:
    """How many samples two sources have in common."""
    if one.dataset is None or one.dataset is not other.dataset:
        return 0
    if one.indices is None or other.indices is None:
        known = one.indices or other.indices
        return 1 if known is None else len(known)
    return len(one.indices & other.indices)


DATA: tuple[Rule, ...] = (
    no_shuffle,
    not_normalised,
    sorted_labels,
    sampler_without_epoch,
    evaluated_on_training_data,
    data_not_finite,
    model_on_cpu,
)
