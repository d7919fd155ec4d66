"""Small networks for the tests of nn."""

import torch
from torch import Tensor, nn

from nearfar.nn.encoders import Encoder


class Plain(nn.Module):
    """Convolutions without BatchNorm; dropout as asked."""

    def __init__(self, width: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Conv2d(5, width, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows)


def plain_encoder(
    *, width: int = 6, dropout: float = 0.0, dtype: torch.dtype = torch.float64
) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Plain(width, dropout).to(dtype)
    return Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="Plain")


def random_views(
    *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, ...]:
    """One group of views (V, B, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=dtype),)
