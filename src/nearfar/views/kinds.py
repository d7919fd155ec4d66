"""What a policy is: a list of kinds of view, each a list of operations. Plain data; no torch.

Kinds without a count of their own take turns to fill `views.count` (BYOL's two views differ); a
kind with a count adds that many (SwAV's six small crops). Views of the same size stand in one
tensor, in this order.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from nearfar.views.operations import AddBrightness, Crop, Data, Jitter, OneOf, Operation

SIZE_STEP = 4  # px: smaller views have a side that is a multiple of it


class Tiles(Data):
    """A view is cut into grid × grid tiles, row by row, each a view of its own of the same
    picture.
    """

    grid: int = Field(default=3, ge=2, le=8)
    side: float = Field(default=64 / 85, gt=0, le=1, description="of a tile, by its cell's")
    jitter: float = Field(
        default=1.0, ge=0, le=1, description="how far a tile may stray in its cell: 1 to the edge"
    )


class Kind(Data):
    """One kind of view: its operations in order, its size, and how often it is made."""

    operations: tuple[Operation, ...] = ()
    count: int | None = Field(
        default=None, ge=1, le=64, description="default: takes turns to fill views.count"
    )
    size: float = Field(
        default=1.0, gt=0, le=1, description="the side by data.size; to 4 px where below 1"
    )
    outside: Literal["edge", "black", "gray"] = Field(
        default="edge",
        description="what lies outside the image: its edge values go on, black, or gray (128)",
    )
    tiles: Tiles | None = None

    @model_validator(mode="after")
    def _crop_comes_first(self) -> "Kind":
        if any(isinstance(operation, Crop) for operation in self.operations[1:]):
            raise ValueError("operations: want crop first, and once, got it later")
        return self

    @property
    def made(self) -> int:
        """How many views one of this kind makes: a view, or its tiles."""
        return 1 if self.tiles is None else self.tiles.grid**2

    def side_px(self, size: int) -> int:
        """The side of the view where data.size is `size`; a tile's own side."""
        side = (
            size
            if self.size == 1
            else max(SIZE_STEP, round(self.size * size / SIZE_STEP) * SIZE_STEP)
        )
        return (
            side if self.tiles is None else max(1, round(side * self.tiles.side / self.tiles.grid))
        )


class Policy(Data):
    """All kinds of view that a sample is shown in."""

    kinds: tuple[Kind, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _fills_the_count(self) -> "Policy":
        if all(kind.count is not None for kind in self.kinds):
            raise ValueError("kinds: want one without a count, which views.count fills")
        return self

    def views(self, count: int) -> tuple[Kind, ...]:
        """The kind of each view, `count` of them by turns, then those with a count of their own."""
        turns = [kind for kind in self.kinds if kind.count is None]
        more = [kind for kind in self.kinds for _ in range(kind.count or 0)]
        return tuple([turns[i % len(turns)] for i in range(count)] + more)

    def made(self, count: int) -> int:
        """How many views a sample has in all."""
        return sum(kind.made for kind in self.views(count))

    def sides(self, count: int, size: int) -> tuple[int, ...]:
        """The sides of the views, each once, px."""
        return tuple(dict.fromkeys(kind.side_px(size) for kind in self.views(count)))

    def stronger(self, strength: float) -> "Policy":
        """The same with the amplitudes of every jitter and every brightness that is added times
        `strength` (SimCLR's s; hue at most half a turn).

        ValueError: a strength below 0. Amplitudes may exceed what a policy may state.
        """
        if strength < 0:
            raise ValueError(f"strength: want at least 0, got {strength}")
        return Policy(kinds=tuple(_stronger(kind, strength) for kind in self.kinds))

    def cost(self, count: int, size: int) -> float:
        """How many views of full size have as many pixels as all of a sample's views."""
        kinds = self.views(count)
        return sum(kind.made * (kind.side_px(size) / size) ** 2 for kind in kinds)

    def describe(self, count: int, size: int) -> str:
        """`2`, or `2 + 6 of 28 px`."""
        made: dict[int, int] = {}
        for kind in self.views(count):
            side = kind.side_px(size)
            made[side] = made.get(side, 0) + kind.made
        return " + ".join(
            f"{n}" if side == size else f"{n} of {side} px" for side, n in made.items()
        )


def _stronger(kind: Kind, strength: float) -> Kind:
    def times(operation: Any) -> Any:
        if isinstance(operation, OneOf):
            return operation.model_copy(
                update={"among": tuple(tuple(map(times, some)) for some in operation.among)}
            )
        if isinstance(operation, AddBrightness):
            return operation.model_copy(update={"amount": min(1.0, strength * operation.amount)})
        if not isinstance(operation, Jitter):
            return operation
        amplitudes = {
            name: strength * getattr(operation, name)
            for name in ("brightness", "contrast", "saturation")
        }
        return operation.model_copy(
            update={**amplitudes, "hue": min(0.5, strength * operation.hue)}
        )

    return kind.model_copy(update={"operations": tuple(map(times, kind.operations))})
