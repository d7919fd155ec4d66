"""One full example of each record."""

from nearfar.run_folder.comparison import ComparisonResults, Difference, LeftOut, TableEntry
from nearfar.run_folder.records import (
    Confusion,
    Cost,
    DataSummary,
    EncoderFile,
    EncoderSummary,
    JudgedBy,
    Measurement,
    Results,
    TrainSummary,
    ViewsSummary,
)

JUDGED_BY = JudgedBy(name="linear_probe.top1", split="test", selection="last")
TOP1 = Measurement(
    name="linear_probe.top1",
    title="linear probe",
    split="test",
    selection="last",
    value=0.75,
    unit="fraction",
    better="higher",
    n=4,
    interval=(0.3, 0.95),
    protocol="a probe",
)
ELSEWHERE = TOP1.model_copy(update={"data": "other"})
BY_CLASS = TOP1.model_copy(update={"name": "linear_probe.per_class", "value": (1.0, None)})
FLOOR = TOP1.model_copy(update={"selection": None, "value": 0.5})
DATA = DataSummary(name="two", source="two", classes=("a", "b"), n_train=8, n_test=4, side=8)
RESULTS = Results(
    nearfar="0.2.0",
    method="supcon",
    seed=3,
    complete=True,
    command="nearfar train two",
    data=DATA,
    encoder=EncoderSummary(name="conv4", width=64, size=8, mean=(0.5,) * 3, std=(0.2,) * 3),
    views=ViewsSummary(policy="digits", count=2, shown="2"),
    train=TrainSummary(epochs=2, batch_size=4, images=8, lr=0.1, needs_labels=True),
    classifier={"kind": "linear"},
    measurements=(TOP1, BY_CLASS, ELSEWHERE),
    untrained=(FLOOR,),
    shown=("linear_probe.top1",),
    judged_by=JUDGED_BY,
    confusion=Confusion(counts=((1, 1), (0, 2))),
    cost=Cost(train_seconds=1.5, peak_memory_bytes=1000, views_seen=32, steps=4),
    diagnosis=("well",),
)
ENCODER = EncoderFile(
    architecture="conv4",
    built_by="nearfar",
    create={},
    stem=(),
    width=64,
    input_size=8,
    eval_crop=1.0,
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    class_names=("a", "b"),
)
ENTRY = TableEntry(
    method="supcon",
    name="linear_probe.top1",
    title="linear probe",
    split="test",
    selection="last",
    unit="fraction",
    better="higher",
    mean=0.75,
    sd=0.01,
    seeds=2,
)
COMPARISON = ComparisonResults(
    nearfar="0.2.0",
    command="nearfar compare two",
    data=DATA,
    methods=("supcon", "simclr"),
    seeds=2,
    images={"supcon": 8, "simclr": 8},
    table=(ENTRY,),
    shown=("linear_probe.top1",),
    judged_by=JUDGED_BY,
    comparisons=(
        Difference(
            name="linear_probe.top1",
            a="supcon",
            b="simclr",
            difference=0.1,
            interval=(-0.1, 0.3),
            larger_than_noise=False,
            text="supcon minus simclr: +10.0 points",
        ),
    ),
    left_out=(LeftOut(method="jigsaw", reason="needs images of at least 24 px"),),
    runs=("supcon/seed0", "simclr/seed0"),
    report="report.html",
)
