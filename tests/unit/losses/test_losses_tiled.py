"""The tiled core: every path gives the dense form's numbers, and says what it cannot."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from nearfar import losses
from nearfar.losses import tiled
from nearfar.losses.choices import Form
from nearfar.losses.positives import capped_positives
from nearfar.losses.rows import gather_rows
from nearfar.losses.tiled import cpu
from nearfar.losses.tiled.pairs import Over, Positives

SHAPES = {
    "against themselves": (13, None),
    "as many": (13, 13),
    "fewer": (7, 23),
    "more": (23, 7),
    "one": (1, 30),
}
EVERY = [(over, positives) for over in Over.__args__ for positives in Positives.__args__]


@pytest.fixture
def _small_tiles(monkeypatch):
    monkeypatch.setattr(cpu, "SIDE_ON_CPU", 5)


def rows(count: int, seed: int, temperature: float):
    z = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (F.normalize(z, dim=1) * temperature**-0.5).requires_grad_()


def arguments(shape: str, temperature: float):
    """Anchors, candidates and their marks: own -1 for some that stand nowhere among the
    candidates.
    """
    m, n = SHAPES[shape]
    source = torch.Generator().manual_seed(m)
    classes = torch.randint(0, 4, (n or m,), generator=source)
    own = torch.arange(m) if n is None else torch.randint(-1, n, (m,), generator=source)
    marks = {
        "own": own,
        "anchor_classes": classes[own],
        "candidate_classes": None if n is None else classes,
    }
    return rows(m, 0, temperature), None if n is None else rows(n, 1, temperature), marks


def both_paths(monkeypatch, compute, inputs):
    """Values (-7 for none) and gradients by the dense form, then in tiles."""
    for limit in (10**9, 0):
        monkeypatch.setattr(tiled, "DENSE_UP_TO", limit)
        out = torch.cat(compute())
        there = torch.isfinite(out)
        total = (
            torch.where(there, out, 0.0) * torch.linspace(-1, 2, len(out), dtype=out.dtype)
        ).sum()
        yield [torch.where(there, out, -7.0).detach(), *torch.autograd.grad(total, inputs)]


def assert_close(dense, other, tolerance=1e-10):
    for known, ours in zip(dense, other, strict=True):
        assert float((known - ours).abs().max()) <= tolerance * float(
            known.abs().max().clamp(min=1e-300)
        )


@pytest.mark.usefixtures("_small_tiles")
@pytest.mark.parametrize("temperature", [0.5, 0.01, 0.0012])  # the last needs running maxima
@pytest.mark.parametrize(("over", "positives"), EVERY)
@pytest.mark.parametrize("shape", list(SHAPES))
def test_tiles_give_the_dense_form_s_sums_and_gradients(
    monkeypatch, shape, over, positives, temperature
):
    anchors, candidates, marks = arguments(shape, temperature)
    options = {"largest": 1 / temperature, "over": over, "positives": positives, **marks}
    inputs = [x for x in (anchors, candidates) if x is not None]
    dense, ours = both_paths(
        monkeypatch, lambda: tiled.statistics(anchors, candidates, **options), inputs
    )
    assert_close(dense, ours)


@pytest.mark.usefixtures("_small_tiles")
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("shape", ["as many", "fewer", "more"])
def test_tiles_give_the_dense_form_s_shares_of_one_positive(monkeypatch, shape, inside):
    anchors, candidates, marks = arguments(shape, 0.3)
    negatives = torch.linspace(-3, 3, len(anchors), dtype=torch.float64)
    negatives[0] = -torch.inf  # an anchor without a negative
    negatives.requires_grad_()
    dense, ours = both_paths(
        monkeypatch,
        lambda: [tiled.one_positive(anchors, candidates, negatives, inside=inside, **marks)],
        [anchors, candidates, negatives],
    )
    assert_close(dense, ours)


@pytest.mark.usefixtures("_small_tiles")
def test_logits_of_any_size_need_no_bound(monkeypatch):
    anchors, candidates, marks = arguments("fewer", 0.5)
    long = anchors.detach().mul(2000).requires_grad_()
    options = {"largest": float("inf"), "over": "all", "positives": "mean", **marks}
    dense, ours = both_paths(
        monkeypatch, lambda: tiled.statistics(long, candidates, **options), [long, candidates]
    )
    assert_close(dense, ours)


@pytest.mark.usefixtures("_small_tiles")
def test_tiles_pass_gradcheck_and_refuse_second_derivatives(monkeypatch):
    monkeypatch.setattr(tiled, "DENSE_UP_TO", 0)
    labels = torch.tensor([0, 1, 0, 2, -1, 1])
    z = torch.randn(
        2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda x: losses.sup_con(x, labels, temperature=0.5), z)
    (slope,) = torch.autograd.grad(losses.sup_con(z, labels, temperature=0.5), z, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives of a tiled loss are not offered"):
        slope.square().sum().backward()


@pytest.mark.filterwarnings("ignore:.torch.jit")  # what torch calls while it prepares forward mode
def test_forward_mode_is_right_in_the_dense_form_and_refused_in_tiles(monkeypatch):
    labels = torch.tensor([0, 1, 0, 2, -1, 1])
    z = torch.randn(2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def slope():
        return torch.func.jvp(
            lambda x: losses.sup_con(x, labels, temperature=0.5), (z,), (z.flip(-1),)
        )[1]

    there, back = (
        losses.sup_con(z + step * z.flip(-1), labels, temperature=0.5) for step in (1e-6, -1e-6)
    )
    known = (there - back) / 2e-6
    assert float(slope()) == pytest.approx(float(known), rel=1e-6)
    monkeypatch.setattr(tiled, "DENSE_UP_TO", 0)
    with pytest.raises(
        RuntimeError, match="forward-mode derivatives of a tiled loss are not offered"
    ):
        slope()


def test_a_cap_keeps_no_more_places_than_a_class_has():
    labels = torch.tensor([0, 1, 0, 2, 0, 1])
    gathered = gather_rows(torch.randn(2, 6, 3), labels, None, temperature=1.0)
    logits, kept = capped_positives(gathered, 2, 1000)
    assert logits.shape == kept.shape == (12, 6)  # two views of three samples


def test_the_dense_form_has_right_second_derivatives():
    labels = torch.tensor([0, 1, 0, 2, -1, 1])
    z = torch.randn(
        2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    for options in ({}, {"positives_cap": 2}, {"form": "inside", "denominator": "one_positive"}):
        assert torch.autograd.gradgradcheck(
            lambda x, o=options: losses.sup_con(x, labels, temperature=0.5, **o), z
        )


def test_the_path_goes_by_the_number_of_pairs(monkeypatch):
    taken = []
    monkeypatch.setattr(
        tiled.operators, "statistics", lambda pairs, **_: taken.append(pairs) or pairs.rows[:1] * 2
    )
    for count in (512, 513):
        tiled.statistics(rows(count, 0, 0.1), largest=10.0)
    assert len(taken) == 1


def relative(ours, known) -> float:
    return float((ours.double() - known).norm() / known.norm())


@pytest.mark.parametrize(
    ("temperature", "spread"), [(0.1, None), (0.5, None), (0.02, None), (0.1, 0.05), (0.01, 0.3)]
)
def test_float32_keeps_the_precision_that_it_promises(temperature, spread):
    """Random rows at temperatures from .1 (spread None): 1e-6. Clustered rows or lower ones: at
    most twice the dense form's own error.
    """
    source = torch.Generator().manual_seed(0)
    views, samples, width = 2, 700, 64
    labels = torch.randint(0, 10, (samples,), generator=source)
    z = torch.randn(views, samples, width, generator=source, dtype=torch.float64)
    if spread is not None:
        z = torch.randn(10, width, generator=source, dtype=torch.float64)[labels] + spread * z
    z = z.float().double()  # the same numbers for both

    def dense(x):
        rows = F.normalize(x.flatten(0, 1), dim=1)
        y = labels.repeat(views)
        same = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool)
        logits = (rows @ rows.T / temperature).masked_fill(
            torch.eye(len(y), dtype=torch.bool), -torch.inf
        )
        logs = logits - logits.logsumexp(dim=1, keepdim=True)
        return -(torch.where(same, logs, 0.0).sum(1) / same.sum(1)).mean()

    results = {}
    for name, loss, x in (
        ("known", dense, z),
        ("plain", dense, z.float()),
        ("ours", lambda x: losses.sup_con(x, labels, temperature=temperature), z.float()),
    ):
        x = x.clone().requires_grad_()
        value = loss(x)
        results[name] = value.detach(), torch.autograd.grad(value, x)[0]
    ours, plain = (
        [relative(mine, known) for mine, known in zip(results[name], results["known"], strict=True)]
        for name in ("ours", "plain")
    )
    if spread is None and temperature >= 0.1:
        assert max(ours) <= 1e-6
    floor = 1e-7  # of a number that happens to be rounded well
    assert ours[0] <= 2 * max(plain[0], floor), (ours, plain)
    assert ours[1] <= 2 * max(plain[1], floor), (ours, plain)


COMPILED = """
import torch
from nearfar import losses
from nearfar.losses import tiled
from nearfar.losses.positives import capped_positives
from nearfar.losses.rows import gather_rows
torch.manual_seed(0)
z = torch.randn(2, 40, 8, requires_grad=True)
y = torch.arange(40) % 5
cases = {
    "sup_con": lambda x: losses.sup_con(x, y, temperature=0.2),
    "sup_con inside": lambda x: losses.sup_con(x, y, temperature=0.2, form="inside", denominator="one_positive"),
    "sup_con capped": lambda x: losses.sup_con(x, y, temperature=0.2, positives_cap=4),
    "info_nce": lambda x: losses.info_nce(x, temperature=0.2, queue=x[0].detach()),
    "info_nce other view": lambda x: losses.info_nce(x, temperature=0.2, negatives="other_view"),
    "n_pairs": lambda x: losses.n_pairs(x, y, form="pairs"),
    "soft labels": lambda x: losses.n_pairs(x, y, form="soft_labels"),
    "margin": lambda x: losses.margin_contrastive(x, y),
    "triplet": lambda x: losses.triplet(x, y, mining="semi_hard"),
    "triplet all": lambda x: losses.triplet(x, y, mining="all"),
    "cosine": lambda x: losses.negative_cosine(x, x.flip(-1)),
    "swapped": lambda x: losses.swapped_prediction(x),
    "relation": lambda x: losses.relation(x[0, :, 0], (y > 2).float(), form="focal"),
    "softmax": lambda x: losses.large_margin_softmax(x, x[0, :5], y, margin=3),
    "alignment": lambda x: losses.alignment(x),
    "uniformity": lambda x: losses.uniformity(x),
    "sigmoid": lambda x: losses.sigmoid(x, temperature=x[0, 0, 0].exp(), bias=x[0, 0, 1]),
    "learnt temperature": lambda x: losses.info_nce(x, temperature=x[0, 0, 0].exp()),
}
for limit in (10**9, 0):
    tiled.DENSE_UP_TO = limit
    for name, loss in cases.items():
        torch._dynamo.reset()
        whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
        pairs = [torch.autograd.grad(f(z), z)[0] for f in (loss, whole)]
        assert torch.allclose(*pairs, rtol=1e-5, atol=1e-7), (limit, name)
        assert torch.allclose(loss(z), whole(z), rtol=1e-5), (limit, name)
        print(limit, name)
"""


@pytest.mark.ci
def test_losses_compile_without_a_graph_break():
    """In a process of its own, because the tests' shape checks break graphs."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 2 * 18


@pytest.mark.ci
def test_the_triton_kernels_are_right_in_their_interpreter():
    # the interpreter of Triton 3.6 fails with the numpy of today
    pytest.importorskip(
        "triton", "3.7", reason="TRITON IS NOT HERE, OR TOO OLD: ITS KERNELS ARE NOT TESTED"
    )
    script = Path(__file__).with_name("triton_in_its_interpreter.py")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["81", "cases"]


@pytest.mark.ci
def test_the_triton_kernels_compile_for_gpus_and_fit_a_small_one():
    pytest.importorskip(
        "triton", "3.7", reason="TRITON IS NOT HERE, OR TOO OLD: ITS KERNELS ARE NOT COMPILED"
    )
    script = Path(__file__).with_name("triton_ahead_of_time.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["32", "kernels"]


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU HERE: THE CUDA KERNELS ARE NOT TESTED ON ONE"
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("form", Form.__args__)
def test_the_gpu_agrees_with_float64(dtype, tolerance, form):
    source = torch.Generator().manual_seed(0)
    z = torch.randn(2, 1500, 128, generator=source).to(dtype)
    labels = torch.randint(0, 20, (1500,), generator=source)
    known, ours = z.double().requires_grad_(), z.cuda().requires_grad_()
    true = losses.sup_con(known, labels, temperature=0.1, form=form)
    loss = losses.sup_con(ours, labels.cuda(), temperature=0.1, form=form)
    assert float(loss.detach()) == pytest.approx(float(true.detach()), rel=tolerance)
    true.backward()
    loss.backward()
    assert relative(ours.grad.cpu(), known.grad) <= tolerance


def test_the_signature_of_sup_con_is_the_published_one():
    names = list(inspect.signature(inspect.unwrap(losses.sup_con)).parameters)
    assert names == [
        "z",
        "labels",
        "temperature",
        "form",
        "contrast",
        "denominator",
        "positives_cap",
        "queue",
        "queue_labels",
        "group",
    ]
