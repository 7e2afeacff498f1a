"""What is learnt of a bearer: round trip, losses, and what it may be given."""

from __future__ import annotations

from openline.bearers.base import BearerProfile
from openline.core import limits
from openline.delivery.channel import Channel, Flight

PROFILE = BearerProfile("relay", 100, 4096, 0, 60_000, 10)


def channel_of(profile: BearerProfile = PROFILE) -> Channel:
    """A bearer that is up and of which nothing is known."""
    return Channel(profile.name, profile)


def fly(channel: Channel, number: int, sent_ms: int) -> Flight:
    """A record of 100 bytes is given to the bearer."""
    flight = Flight(number, 100)
    channel.depart(flight, sent_ms)
    return flight


def answered(channel: Channel, flight: Flight, now_ms: int) -> None:
    """An ACK for it comes over the bearer."""
    channel.hold(flight, now_ms, alone=False)
    channel.answer(now_ms)


def test_the_timer_is_the_round_trip_and_four_times_its_variation() -> None:
    channel = channel_of()
    assert (channel.rtt_ms, channel.timeout_ms()) == (None, 400)
    answered(channel, fly(channel, 1, 0), 80)
    assert (channel.rtt_ms, channel.variation_ms, channel.timeout_ms()) == (80, 40, 240)
    for number in range(2, 40):
        answered(channel, fly(channel, number, 1000 * number), 1000 * number + 80)
    assert (channel.rtt_ms, channel.variation_ms) == (80, 0)
    assert channel.timeout_ms() == 90


def test_a_bearer_that_reports_its_death_is_given_more_time() -> None:
    channel = channel_of(BearerProfile("tcp", 5, 4096, 1000, 15_000, 10))
    answered(channel, fly(channel, 1, 0), 10)
    assert channel.timeout_ms() == 1000


def test_a_record_sent_twice_over_a_bearer_is_not_measured() -> None:
    channel = channel_of()
    flight = fly(channel, 1, 0)
    channel.lose(flight, 500)
    channel.depart(flight, 500)
    answered(channel, flight, 510)
    assert channel.rtt_ms is None


def test_an_answer_is_of_the_oldest_record_it_covers() -> None:
    channel = channel_of()
    for number, sent_ms in ((1, 0), (2, 50)):
        channel.hold(fly(channel, number, sent_ms), 60, alone=False)
    channel.answer(90)
    assert (channel.rtt_ms, channel.flights) == (90, {})


def test_losses_are_learnt_and_fade_to_what_is_declared() -> None:
    channel = channel_of()
    for number in range(40):
        channel.lose(fly(channel, number, 0), 1000)
    lossy = channel.loss_permille(1000)
    assert lossy > 950
    assert channel.loss_permille(61_000) == lossy // 2
    assert channel.loss_permille(1000 + 60_000 * 20) == 0
    for number in range(60):
        answered(channel, fly(channel, number, 2000), 2100)
    assert channel.loss_permille(2100) == 0


def test_a_record_that_came_by_another_bearer_waits_here_for_its_own_answer() -> None:
    channel = channel_of()
    flight = fly(channel, 1, 0)
    channel.hold(flight, 20, alone=False)
    assert channel.flights
    channel.lose(flight, 400)
    assert channel.loss_permille(400) == 125


def test_a_bearer_that_only_sends_is_never_measured() -> None:
    channel = channel_of(BearerProfile("radio", 100, 512, 0, 60_000, 10, two_way=False))
    channel.lose(fly(channel, 1, 0), 500)
    channel.hold(fly(channel, 2, 0), 500, alone=True)
    channel.hold(fly(channel, 3, 0), 500, alone=False)
    assert (channel.rtt_ms, channel.loss_permille(500), channel.flights) == (None, 0, {})


def test_a_slow_bearer_is_given_what_keeps_it_busy_and_no_more() -> None:
    channel = channel_of(BearerProfile("modem", 300, 512, 0, 60_000, 10, rate_bytes_s=1200))
    assert channel.window_bytes() == 1200 * 2600 // 1000
    assert channel.batch_bytes() == 1200
    number = 0
    while channel.fits(100):
        number += 1
        fly(channel, number, 0)
    assert channel.flight_bytes == 3100
    assert channel.timeout_ms() == 4 * 300 + 3100 * 1000 // 1200
    assert not channel.admits(100)


def test_what_is_longer_than_the_window_goes_when_nothing_else_is_on_the_bearer() -> None:
    channel = channel_of(BearerProfile("modem", 300, 512, 0, 60_000, 10, rate_bytes_s=40))
    assert (channel.window_bytes(), channel.fits(60_000), channel.admits(60_000)) == (
        *(512, False),
        True,
    )
    fly(channel, 1, 0)
    assert not channel.admits(60_000)
    assert channel_of().window_bytes() == limits.WINDOW_BYTES_MAX


def test_a_hand_that_carries_is_waited_for() -> None:
    day_ms = 86_400_000
    profile = BearerProfile("stick", 0, 4096, 0, 7 * day_ms, 50, human_ms=day_ms)
    assert channel_of(profile).timeout_ms() == 4 * day_ms
