"""The settings of a projector, in the same words for every method that has one."""

from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

Form = Literal["none", "linear", "relu", "mlp"]
Norms = Literal["none", "hidden", "all"]


@runtime_checkable
class Settings(Protocol):
    """What the settings of every method with a projector hold."""

    @property
    def projector(self) -> Form: ...
    @property
    def projector_layers(self) -> int: ...
    @property
    def projector_batch_norm(self) -> Norms: ...
    @property
    def hidden_dim(self) -> int | None: ...
    @property
    def projection_dim(self) -> int | None: ...


def form(default: Form) -> Any:
    return Field(
        default,
        description=(
            "the projector, from representation h to projection z: mlp (layers with a ReLU between"
            " them), linear (one layer), relu (one layer and a ReLU) or none (z is h)"
        ),
    )


def layers(default: int) -> Any:
    return Field(default, ge=2, description="number of linear layers of an mlp projector")


def batch_norm(default: Norms, *, from_given_weights: Norms | None = None) -> Any:
    another = f" (from given weights {from_given_weights})" if from_given_weights else ""
    return Field(
        default,
        description=(
            "where the projector has BatchNorm: none (nowhere), hidden (in each hidden layer of an"
            f" mlp) or all (behind the last layer too, there without scale or shift){another}"
        ),
    )
