"""A number with what it takes to read it, as results.json has it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Selection = Literal["last", "validation"]
Unit = Literal["fraction", "nats", "count", "ratio", "seconds", "bytes"]
Better = Literal["higher", "lower"]


class Measurement(BaseModel):
    """One number, or one a class. `interval` is 95 %; None where it has none."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=True)

    name: str
    title: str
    split: str | None = None
    selection: Selection | None = None  # None: the untrained encoder
    # a tuple for each class; None where the split has no image of it
    value: float | tuple[float | None, ...] | None = None
    unit: Unit
    better: Better | None
    n: int | None = None
    interval: tuple[float, float] | None = None
    protocol: str = ""
    data: str | None = None  # the source, where it was measured on other data than the run's

    def as_json(self) -> dict[str, Any]:
        found = self.model_dump(mode="json")
        return {key: value for key, value in found.items() if key != "data" or value is not None}
