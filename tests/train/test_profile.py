"""--profile_steps: which steps, and that a trace of them is written that TensorBoard can open."""

import gzip
import json

import pytest
from helpers import tiny

from rnnbench.config import InputError
from rnnbench.train import grow
from rnnbench.train import profile as profiling
from rnnbench.train import run as train


@pytest.mark.fast
@pytest.mark.parametrize("text", ["", "5", "5:", "a:b", "5:5", "7:5", "0:21", "-1:5", "1:2:3"])
def test_steps_that_cannot_be(text):
    with pytest.raises(InputError, match=r"^--profile_steps: must [^\n]*$"):
        profiling.steps(text, 20)
    assert profiling.steps("0:20", 20) == (0, 20)


def test_a_trace_of_the_chunks_that_hold_the_steps(tmp_path):
    settings = {"train.steps": 6, "train.chunk": 2, "eval.batches": 1, "eval.lengths": (12,)}
    traced = train.run(tiny("lstm", settings), tmp_path / "run", profile=(3, 4))
    (found,) = (tmp_path / "run" / "profile" / "plugins" / "profile").iterdir()
    sizes = {path.name.split(".", 1)[1]: path.stat().st_size for path in found.iterdir()}
    assert sizes["xplane.pb"] > 1000 and sizes["trace.json.gz"] > 1000
    events = json.loads(gzip.decompress(next(found.glob("*.trace.json.gz")).read_bytes()))["traceEvents"]
    names = [event.get("name", "") for event in events]
    assert sum("PjitFunction" in name or "TfrtCpuExecutable" in name for name in names) >= 1
    # The run itself is as it would have been, and once it is past the steps they are refused.
    assert traced[0]["step"] == 6
    with pytest.raises(InputError, match=r"^--profile_steps: the run has already reached step 6"):
        train.run(tiny("lstm", settings), tmp_path / "run", profile=(3, 4))


def test_members_that_are_added_can_be_traced(tmp_path):
    """The steps that the others have passed are still to come for them."""
    settings = {"train.steps": 4, "train.chunk": 2, "eval.batches": 1, "eval.lengths": (12,)}
    train.run(tiny("lstm", settings), tmp_path)
    more = tiny("lstm", settings | {"population.seeds": (0, 1)})
    assert len(grow.look(more, tmp_path, profile=(2, 3))) == 2
    with pytest.raises(InputError, match=r"^--profile_steps: the run has already reached step 4"):
        grow.look(tiny("lstm", settings), tmp_path, profile=(2, 3))
