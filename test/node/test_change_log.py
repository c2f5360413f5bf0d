from vi_fusion_ros.node.status.change_log import ChangeLog


def told(states, every_s=10.0):
    """Time, state and number of changes of each line."""
    log = ChangeLog(every_s)
    lines = ((now_s, state, log.due(state, now_s)) for now_s, state in states)
    return [line for line in lines if line[2]]


def test_a_change_is_told_at_once_and_once():
    assert told([(0.0, "a"), (0.1, "a"), (50.0, "a"), (60.0, "b"), (60.1, "b"), (99.0, "b")]) == [
        (0.0, "a", 1),
        (60.0, "b", 1),
    ]


def test_a_state_that_goes_back_and_forth_is_told_once_a_period_with_how_often():
    lines = told([(number / 4, "ab"[number % 2]) for number in range(100)])  # 25 s, four changes a second
    assert [(now_s, changes) for now_s, _, changes in lines] == [(0.0, 1), (10.0, 40), (20.0, 40)]


def test_the_last_change_is_told_though_it_came_within_a_period():
    assert told([(0.0, "a"), (1.0, "b"), (2.0, "b"), (10.0, "b"), (30.0, "b")]) == [(0.0, "a", 1), (10.0, "b", 1)]


def test_a_state_that_came_back_is_told_with_its_changes():
    assert told([(0.0, "a"), (1.0, "b"), (2.0, "a"), (10.0, "a"), (30.0, "a")]) == [(0.0, "a", 1), (10.0, "a", 2)]
