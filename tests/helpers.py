"""What several test files share."""

import jax
import numpy as np


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5):
    """Same tree structure, same shapes, and close values, leaf by leaf with the leaf's path in the message."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    expected_leaves = jax.tree.leaves(expected)
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(actual), expected_leaves, strict=True):
        assert np.shape(leaf) == np.shape(other), jax.tree_util.keystr(path)
        np.testing.assert_allclose(leaf, other, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))
