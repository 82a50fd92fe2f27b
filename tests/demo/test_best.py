"""`best_at_end` on the demo's clip: the picture in the README."""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import best


def test_one_crop_a_track() -> None:
    """Of each track that the tracker named, the frame's own pixels, and far fewer than rows."""
    chosen, tracks, rows = best.best()
    names = [str(found.rows[found.crops[0].index]["tracker_id"]) for found in chosen]
    assert Counter(names) == dict.fromkeys(tracks, 1)
    assert 10 < len(chosen) < rows / 10
    frames = {found.frame.frame_id for found in chosen}
    assert len(frames) > 5
    for found in chosen:
        [crop] = found.crops
        row = found.rows[crop.index]
        assert 0 < row["score"] < 1
        assert crop.bgr().std() > 10
    sheet = best.sheet(chosen)
    assert sheet.shape[1] == 1280
