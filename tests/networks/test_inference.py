"""The shipped network says the same on one thread and on two."""

import numpy as np
import pytest
import torch

from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.networks.inference import reproducible_inference
from lumbar_ext.workflow.network_bundle import load_bundle_network


@pytest.fixture
def threads():
    """Sets how many; as before afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_number_of_threads_changes_no_bit(threads):
    root = bundle_dir(MULTITASK)
    network = load_bundle_network(root)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 128, 128)).astype(np.float32))
    answers = []
    for number in (1, 2):
        threads(number)
        with reproducible_inference():
            answers.append(network(image))
        assert torch.get_num_threads() == number
    assert torch.equal(*answers)
