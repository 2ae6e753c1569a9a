"""The softmax mixers with their time split over devices, as on one."""

import pytest
from equations import assert_equal_over_devices

OVER_DEVICES = [
    ("window", {"window": 6, "conv_size": 3}),  # 5 keys from the 2 devices before
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("window", {}), ("fox", {"conv_size": 3}), ("gpt", {}), ("gpt", {"positions": "alibi"}),
    )),
]  # fmt: skip


@pytest.mark.parametrize("name, options", OVER_DEVICES)
def test_equal_over_devices(name, options):
    assert_equal_over_devices(name, 8, heads=2, **options)
