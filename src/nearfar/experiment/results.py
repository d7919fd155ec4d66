"""The content of results.json: every number with protocol, split, n, seed, seconds, peak memory."""

from collections.abc import Mapping
from typing import Any

from nearfar import __version__
from nearfar.evaluate.measure import judged_by
from nearfar.experiment.evaluation import Evaluated, Stage
from nearfar.experiment.plan import policy_name
from nearfar.methods import method_class
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.names import RESULTS
from nearfar.run_folder.records import Measurement, Results
from nearfar.training.checkpoint import Counters
from nearfar.views.reading import read_policy


def results_json(
    stage: Stage,
    encoder: Encoder,
    counters: Counters,
    evaluated: Evaluated | None,
    untrained: list[Measurement],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """`evaluated` is None for a run that is not complete; `facts` are the loop's and the
    process's.
    """
    config = stage.config
    done = evaluated or Evaluated()
    content = {
        "nearfar": __version__,
        "method": config.method_name,
        "seed": config.train.seed,
        "complete": evaluated is not None,
        "command": facts["command"],
        "data": _data(stage),
        "encoder": _encoder(stage, encoder),
        "views": _views(stage),
        "train": _train(stage, facts),
        "classifier": stage.config.sections().get("classifier"),
        "measurements": [m.as_json() for m in done.measurements],
        "untrained": [m.as_json() for m in untrained],
        "shown": list(done.shown),
        "judged_by": {
            "name": judged_by(config.evaluate.probes or ()),
            "split": "test",
            "selection": "last",
        },
        "confusion": done.confusion,
        "cost": {
            "train_seconds": round(counters.train_seconds, 3),
            "classifier_seconds": round(done.trained.seconds, 3) if done.trained else None,
            "total_seconds": round(counters.total_seconds, 3),
            "peak_memory_bytes": facts["peak_memory_bytes"],
            "views_seen": counters.views_seen,
            "steps": counters.step,
            "selected_epoch": counters.best_epoch or None,
        },
        "diagnosis": [
            *facts["verdicts"],
            *_diagnosis(stage, counters, complete=evaluated is not None),
        ],
    }
    return Results.read(content, RESULTS, "please report this").as_json()


def _diagnosis(stage: Stage, counters: Counters, *, complete: bool) -> list[str]:
    found = []
    if (reason := stage.unmeasurable()) is not None:
        found.append(
            f"{reason}: nothing measured; probe it with `nearfar probe RUN --data LABELED`"
        )
    elif not stage.config.evaluate.probes:
        found.append(
            "evaluate.probes is empty: no probe measured; add one with `nearfar probe RUN`"
        )
    if not complete:
        epochs = stage.config.train.epochs
        found.append(f"interrupted after epoch {counters.epoch} of {epochs}; --resume continues")
    return found


def _data(stage: Stage) -> dict[str, Any]:
    facts = stage.data.facts(stage.view.size)
    return {
        "name": facts.name,
        "source": stage.config.data.source,
        "classes": list(facts.class_names),
        "n_train": facts.n_train,
        "n_unlabeled": facts.n_unlabeled,
        "n_val": facts.n_val,
        "n_test": facts.n_test,
        "side": facts.side,
        "skipped": [{"path": bad.path, "reason": bad.reason} for bad in stage.data.skipped],
    }


def _views(stage: Stage) -> dict[str, Any]:
    policy, count = stage.config.views.policy, stage.config.views.count
    assert policy is not None
    assert count is not None
    shown = read_policy(policy).describe(count, stage.view.size)
    return {"policy": policy_name(policy), "count": count, "shown": shown}


def _encoder(stage: Stage, encoder: Encoder) -> dict[str, Any]:
    config = stage.config.encoder
    return {
        "name": config.name,
        "width": encoder.width,
        "size": stage.view.size,
        "stem": list(encoder.stem),
        "mean": list(stage.view.mean),
        "std": list(stage.view.std),
        "weights": "hub" if config.pretrained else config.weights,
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
    }


def _train(stage: Stage, facts: Mapping[str, Any]) -> dict[str, Any]:
    config = stage.config
    return {
        "epochs": config.train.epochs,
        "batch_size": config.train.batch_size,
        "steps_per_epoch": facts["steps_per_epoch"],
        "images": facts["images"],
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "weight_decay": config.optimizer.weight_decay,
        "precision": config.train.precision,
        "needs_labels": method_class(config.method_name).needs_labels,
    }
