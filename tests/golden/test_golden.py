"""What is written of crops stays what it was, to the last character.

The outputs were written on 2026-11-28, before the rows of a frame were handled together: boxes,
vertices in three forms, run lengths in two and both keys, of messages of five sizes, strict and
not; and the columns of `supervision.Detections` in all their forms.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from golden.outputs import described, written

OUTPUTS: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("outputs.json").read_bytes()
)


@pytest.mark.parametrize("case", OUTPUTS["messages"], ids=range(len(OUTPUTS["messages"])))
def test_metadata(case: dict[str, Any]) -> None:
    """Of each crop and of the frame, the same text."""
    assert written(case["message"]) == case["written"]


@pytest.mark.parametrize("case", OUTPUTS["detections"], ids=range(len(OUTPUTS["detections"])))
def test_detections(case: dict[str, Any]) -> None:
    """Of each crop, the same values of the same kinds."""
    assert described(case) == case["described"]
