"""The files of a run folder and of a comparison's, by name."""

from pathlib import Path

RUN_TOML = "run.toml"
RESULTS = "results.json"
METRICS = "metrics.jsonl"
STOPPED = "stopped.json"  # why training could not go on
ENVIRONMENT = "environment.json"
# a folder in timm's form: timm.create_model("local-dir:RUN/encoder", pretrained=True)
ENCODER = Path("encoder", "model.safetensors")
ENCODER_CONFIG = Path("encoder", "config.json")
ENCODER_SELECTED = "encoder_selected.safetensors"
# what a fine-tuning classifier stage made of a copy
ENCODER_FINETUNED = "encoder_finetuned.safetensors"
ENCODER_ONNX, ENCODER_PROGRAM = "encoder.onnx", "encoder.pt2"  # as nearfar export writes it
CLASSIFIER = "classifier.safetensors"
CLASSIFIER_METRICS = "classifier.jsonl"  # of the classifier stage, by epoch
CHECKPOINT = Path("checkpoint", "last.pt")
CLASSIFIER_CHECKPOINT = Path("checkpoint", "classifier.pt")
CLASSIFIER_BEST = Path("checkpoint", "classifier_best.safetensors")  # of the stage, so far
EMBEDDINGS = "embeddings.npz"
REFERENCE = "reference.npz"  # what the classifier holds new images against
VIEWS = "views.png"
REPORT = "report.html"
LOCK = ".lock"  # of the process that works in it, while it does
COMPARE = "compare.json"
TUNING = "tuning"  # the folder of a method's trials
TRIALS = "trials.json"
