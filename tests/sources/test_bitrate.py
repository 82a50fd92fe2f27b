"""What a sender is told that it may send."""

from aiortc.rate import RemoteBitrateEstimator

from streamcrop.sources.bitrate import BEGIN, Estimate

_EACH_MS, _NBYTES, _SSRC = 10, 1000, 7


def told(estimate: RemoteBitrateEstimator, seconds: int, growing: float = 0.0) -> list[int]:
    """What is said of a steady stream whose packets take longer by a part of each interval."""
    said = []
    for number in range(seconds * 1000 // _EACH_MS):
        sent = number * _EACH_MS
        came = sent + round(number * _EACH_MS * growing)
        # Seconds in 6.18 bits.
        send_time = (sent << 18) // 1000 & 0xFFFFFF
        if found := estimate.add(came, send_time, _NBYTES, _SSRC):
            bitrate, ssrcs = found
            assert ssrcs == [_SSRC]
            said.append(bitrate)
    return said


def test_it_begins_with_what_720p_takes() -> None:
    """Said with the first packet, and kept while nothing is delayed; aiortc's is far below."""
    first, *others = told(Estimate(), 10)
    assert BEGIN <= first < 1.01 * BEGIN
    assert len(others) >= 15
    assert min(others) >= BEGIN
    assert max(told(RemoteBitrateEstimator(), 10)) < BEGIN / 2


def test_it_gives_way_when_packets_are_delayed() -> None:
    """Where delays grow, it falls below what comes, as aiortc's does."""
    sent = 8 * _NBYTES * 1000 / _EACH_MS
    for estimate in (Estimate(), RemoteBitrateEstimator()):
        assert told(estimate, 20, growing=0.2)[-1] < sent
