"""How much a WebRTC sender may send, as its receiver says (REMB).

A browser that hears nothing better begins with 300 kb/s and adds 8 % a second: at 720p that is 10
to 14 pictures a second for the first ten seconds (Chromium 156, 2026-11-28). In its first two
seconds it believes the receiver. aiortc's estimate, which finds congestion by growing delays, says
nothing for three seconds, and then what was sent until then.
"""

from aiortc.rate import RemoteBitrateEstimator

# What Chromium gives a picture of 720p at most, in bits a second.
BEGIN = 2_500_000


class Estimate(RemoteBitrateEstimator):
    """aiortc's estimate, which begins with what a picture of 720p takes."""

    def add(
        self, arrival_time_ms: int, abs_send_time: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        """Take a packet; returns bits a second and whose, when they are to be said."""
        if not self.rate_control.current_bitrate_initialized:
            self.rate_control.set_estimate(BEGIN, arrival_time_ms)
        return super().add(arrival_time_ms, abs_send_time, payload_size, ssrc)
