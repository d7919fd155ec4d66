"""How much of the encoder is timed before a plan is said."""

import torch
from experiment_setups import CPU, decided, listing

from nearfar.experiment.planning import rows_to_time

CUDA = torch.device("cuda")  # only its type is looked at


def test_no_more_rows_are_timed_than_a_step_has():
    few = decided("simclr", train={"batch_size": 8}, encoder={"name": "conv4"})
    assert rows_to_time([few], CPU) == rows_to_time([few], CUDA) == 16
    one = decided("cross_entropy", train={"batch_size": 8}, encoder={"name": "conv4"})
    assert rows_to_time([one, few], CPU) == 16


def test_a_large_network_is_timed_on_few_rows_where_a_cpu_computes():
    """ResNet-50 on 256 views of 32 px took over a minute before the plan was said."""
    large = decided(
        "simclr", listing(side=32), train={"batch_size": 128}, encoder={"name": "resnet50"}
    )
    assert rows_to_time([large], CPU) == 15  # of 1.3 billion multiplications each
    assert rows_to_time([large], CUDA) == 256
