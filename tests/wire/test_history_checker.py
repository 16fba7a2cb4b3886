"""The checker finds what it is there to find: a check that cannot fail proves nothing."""
from history import History


def good():
    history = History()
    for number in range(4):
        key = f"m{number}"
        history.tried(key, "g", number)
        history.sent(key, "g", number)
        history.received(key, "g", number, at=number, hidden_s=1, count=1)
        history.deleted(key, at=number + 0.5)
        history.answered(key, "g", number, at=number + 0.4, result=number)
    return history


def test_a_good_history_has_no_problem():
    assert good().problems(fifo=True, answers=True) == []


def test_a_lost_message_is_found():
    history = good()
    history.sent("m9", "g", 9)
    found = history.problems(fifo=True, answers=True)
    assert found == ["m9 was acknowledged and never received", "m9 was acknowledged and has no result"]


def test_an_unacknowledged_send_may_be_lost_or_not():
    history = good()
    history.tried("m9", "g", 9)
    assert history.problems(fifo=True, answers=True) == []
    history.received("m9", "g", 9, at=10, hidden_s=1, count=1)
    history.answered("m9", "g", 9, at=11, result=9)
    assert history.problems(fifo=True, answers=True) == []


def test_a_second_result_is_found():
    history = good()
    history.answered("m3", "g", 3, at=9, result=3)
    assert history.problems(fifo=True, answers=True) == ["m3 has 2 results"]


def test_an_invented_message_is_found():
    history = good()
    history.received("ghost", "g", 7, at=9, hidden_s=1, count=1)
    assert history.problems(fifo=False) == ["ghost was never sent"]


def test_overtaking_is_found():
    history = History()
    for number in (0, 2, 1):
        history.sent(f"m{number}", "g", number)
        history.received(f"m{number}", "g", number, at=len(history.events), hidden_s=1, count=1)
    assert history.problems(fifo=True) == ["group g: 2 came before 1"]
    assert history.problems(fifo=False) == []


def test_a_second_delivery_is_no_overtaking():
    history = good()
    history.received("m0", "g", 0, at=9, hidden_s=1, count=2)
    assert history.problems(fifo=True) == []


def test_results_out_of_order_are_found():
    history = History()
    for number in (1, 0):
        history.sent(f"m{number}", "g", number)
        history.answered(f"m{number}", "g", number, at=len(history.events), result=number)
    assert history.problems(fifo=True, answers=True, received=False) == ["group g: 1 was answered before 0"]


def test_a_count_that_does_not_rise_is_found():
    history = good()
    history.received("m0", "g", 0, at=9, hidden_s=1, count=1)
    assert history.problems(fifo=True) == ["m0 was received as number 1 after 1"]
