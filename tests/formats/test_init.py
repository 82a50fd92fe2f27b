"""The table of detection formats."""

from typing import get_args, get_type_hints

import pytest

from streamcrop import config, formats
from streamcrop.formats import inference


def test_rows_are_the_configurations_names() -> None:
    """What the configuration accepts is what the table holds."""
    hint = get_type_hints(config.Detections)["format"]
    assert set(get_args(hint)) == set(formats.DETECTION_FORMATS)


@pytest.mark.parametrize("name", sorted(formats.DETECTION_FORMATS))
def test_each_row_reads_the_empty_message(name: str) -> None:
    """No predictions is an answer in every format."""
    row = formats.DETECTION_FORMATS[name]
    message = row.decode(b'{"frame_id": 7, "predictions": []}')
    read = row.predictions(message, (8, 6), name="gate/7", limit=10)
    assert (message.frame_id, read.rows, len(read.instances), read.over_limit) == ("7", [], 0, 0)


def test_inference_is_its_module() -> None:
    """The row holds the module's functions."""
    row = formats.DETECTION_FORMATS["inference"]
    assert (row.decode, row.predictions) == (inference.decode, inference.predictions)
