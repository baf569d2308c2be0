"""Tests of the painter: the latest camera wins, coarse before fine, within a budget, and slow browsers harm nobody."""

import threading

import pytest

from bozzetto_view.painter import STILL_S, Budget, Painter
from bozzetto_view.pictures import Pose


def pose(number):
    return Pose((1.0, 0.0, 0.0, 0.0), (float(number), 0.0, 0.0), 0.7, 1.0)


class Clock:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def painter(clock):
    drawn = []

    def draw(pose, height):
        drawn.append((pose.position[0], height))
        return (pose.position[0], height)

    made = Painter(draw, Budget(0.1, clock), coarse=128, fine=256, now=clock, cost=clock)
    made.log = drawn
    return made


def step(painter):
    if (job := painter._next()) is not None:
        painter._paint(*job)
    return job is not None


def test_a_moving_camera_gets_coarse_pictures_of_its_latest_pose_and_a_still_one_a_fine_picture(painter, clock):
    sent = []
    painter.add(1, sent.append)
    assert not step(painter)  # no camera yet
    for number in range(10):
        painter.move(1, pose(number))
    assert step(painter) and not step(painter)
    clock.s += STILL_S
    assert step(painter) and not step(painter)
    assert sent == [(9.0, 128), (9.0, 256)]


def test_new_content_is_drawn_for_a_still_camera(painter, clock):
    sent = []
    painter.add(1, sent.append)
    painter.move(1, pose(1))
    clock.s += 1.0
    step(painter)
    painter.show("step 2")
    assert step(painter) and not step(painter)
    assert sent == [(1.0, 256)] * 2


def test_the_browser_that_has_waited_longest_comes_first(painter, clock):
    sent = {1: [], 2: []}
    for key in sent:
        painter.add(key, sent[key].append)
    for turn in range(6):
        for key in sent:
            painter.move(key, pose(10 * turn + key))
        clock.s += 0.01
        step(painter)
    assert len(sent[1]) == len(sent[2]) == 3


def test_beside_a_training_pictures_take_their_share_of_the_time(painter, clock):
    budget = painter.budget
    budget.limited = True
    spent = 0.0
    while clock.s < 100.0:
        clock.s += budget.wait_s()
        clock.s += 0.05  # the work itself
        spent += 0.05
        budget.spend(0.05)
    assert 0.09 < spent / clock.s < 0.101
    budget.limited = False
    assert budget.wait_s() == 0.0


def test_thousands_of_browsers_come_and_go_and_leave_nothing(painter, clock):
    for key in range(3000):
        painter.add(key, lambda picture: None)
        painter.move(key, pose(key))
        step(painter)
        painter.remove(key)
        painter.move(key, pose(key + 1))  # a late message
    assert not painter.browsers and len(painter.log) == 3000


def test_it_draws_in_its_own_thread_until_closed():
    sent = threading.Event()
    painter = Painter(lambda pose, height: (pose, height), Budget(0.1), 16, 32)
    thread = threading.Thread(target=painter.run)
    thread.start()
    painter.add(1, lambda picture: sent.set())
    painter.move(1, pose(1))
    assert sent.wait(20.0)
    painter.close()
    thread.join(20.0)
    assert not thread.is_alive()


def test_a_picture_that_cannot_be_drawn_is_not_sent(clock):
    painter = Painter(lambda pose, height: None, Budget(0.1, clock), 16, 32, clock, clock)
    painter.add(1, lambda picture: pytest.fail("sent"))
    painter.move(1, pose(1))
    assert step(painter) and not step(painter) and painter.drawn == 0
