"""Crops to a bucket: a picture, and its metadata beside it as JSON.

```
s3://bucket/prefix/gate/2026-11-28/1234/5f0c….jpg
s3://bucket/prefix/gate/2026-11-28/1234/5f0c….json
```

The metadata comes first, so that who sees a picture finds what it shows. obstore is asked in
threads: its coroutines abort the process if the loop ends before they do (0.12.1, 2026-11-28).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from streamcrop.errors import RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.files import file_name

_TIMEOUT = "10s"
_THREADS = 8


class S3Outlet:
    """Puts crops into a bucket.

    Args:
        bucket: The bucket's name.
        prefix: In front of each key; may be empty.
        endpoint: Of another server than Amazon's; None: Amazon's.
        region: Of the bucket; None: as the environment says, else ``us-east-1``.
        allow_http: Whether the endpoint may be without TLS.
        key: A template with ``{stream}``, ``{date}``, ``{frame_id}`` and ``{detection_id}``.
        stream: The stream's name.
        suffix: Of the pictures' names, with the dot.
        clock: Seconds since 1970.

    Credentials come from the environment (``AWS_ACCESS_KEY_ID`` and so on), or the machine's role.
    """

    batch = 1

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint: str | None,
        region: str | None,
        allow_http: bool,
        key: str,
        stream: str,
        suffix: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # What is not said, the environment may say.
        said: Any = {}  # obstore has its type for type checkers alone
        if endpoint:
            said["endpoint"] = endpoint
        if region:
            said["region"] = region
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config=said,
            client_options={"allow_http": allow_http, "timeout": _TIMEOUT},
            # It is tried again here, where that is counted and said.
            retry_config={"max_retries": 0},
        )
        self._key = key
        self._stream = stream
        self._suffix = suffix
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    def take(self, event: Event) -> Event | None:
        """See `Outlet`. The key is made now: the day is that on which the crop was made."""
        if not event.is_crop:
            return None
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        frame_id, detection_id = map(file_name, event.name)
        names = {"stream": self._stream, "frame_id": frame_id, "detection_id": detection_id}
        return replace(event, topic=self._key.format_map({**names, "date": day}))

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:  # noqa: ARG002  # an object is replaced
        """See `Outlet`."""
        [event] = events
        await asyncio.get_running_loop().run_in_executor(self._threads, self._put, event)
        return 1

    async def close(self) -> None:
        """See `Outlet`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put(self, event: Event) -> None:
        json = {"Content-Type": "application/json"}
        picture = {"Content-Type": event.content_type}
        try:
            obstore.put(self._store, f"{event.topic}.json", event.metadata, attributes=json)
            obstore.put(self._store, event.topic + self._suffix, event.data, attributes=picture)
        except (BaseError, OSError) as error:
            # The first line; what follows is for programmers, and holds headers.
            raise SinkError(str(error).partition("\n")[0]) from None
        except ValueError as error:
            raise RejectedError(f"no key: {error}") from None
