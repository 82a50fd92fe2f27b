"""A node that also notes when each frame came from its demuxer, for `latency`.

``python -m benchmarks.watched FILE run ...``: writes ``{frame_id: microseconds since 1970}``.
"""

import json
import sys
from pathlib import Path
from unittest.mock import patch

from streamcrop.cli import main
from streamcrop.core.values import Frame
from streamcrop.stream.outcomes import Outcomes

if __name__ == "__main__":
    path = Path(sys.argv[1])
    came: dict[str, int | None] = {}
    received = Outcomes.received

    def noting(outcomes: Outcomes, item: object) -> None:
        """As it does, and note when it came."""
        if isinstance(item, Frame):
            came[item.frame_id] = item.arrived
        received(outcomes, item)

    # However the node ends: it waits for no thread.
    with patch.object(Outcomes, "received", noting), patch("os._exit", sys.exit):
        try:
            main(sys.argv[2:])
        finally:
            path.write_text(json.dumps(came))
