"""First ready: ``send`` and ``recv`` give each environment's rows as they come, and lose none."""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from test_lanes import GAME, games

import rlay
from equal import difference
from host_process import HostProcess
from processes import WAIT, free_address, python, thread, until
from twins import sync_vector
from vector_envs import Ending

MODES = ("NextStep", "SameStep", "Disabled")
SLOTS = 5
STEPS = 60


def last(envs: gym.vector.VectorEnv[Any, Any, Any], result: Any, row: int) -> tuple[Any, ...]:
    """Return what one row of a result says."""
    observations, rewards, terminations, truncations, infos = result
    item = gym.vector.utils.iterate(envs.observation_space, observations)
    return list(item)[row], rewards[row], terminations[row], truncations[row], info_of(infos, row)


def info_of(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """Return the part of merged infos that is about one row."""
    own: dict[str, Any] = {}
    for name, values in infos.items():
        if name.startswith("_") or f"_{name}" not in infos or not infos[f"_{name}"][row]:
            continue
        own[name] = info_of(values, row) if isinstance(values, dict) else values[row]
    return own


def expected(source: str, mode: str, actions: np.ndarray) -> list[list[tuple[Any, ...]]]:
    """Return the rows of each slot of a local vector that takes these actions."""
    envs = sync_vector(source, SLOTS, mode)
    rows: list[list[tuple[Any, ...]]] = [[] for _ in range(SLOTS)]
    observations, infos = envs.reset(seed=3)
    nothing = np.zeros(SLOTS), np.zeros(SLOTS, np.bool_), np.zeros(SLOTS, np.bool_)
    result: Any = (observations, *nothing, infos)
    for step in range(STEPS):
        for slot in range(SLOTS):
            rows[slot].append(last(envs, result, slot))
        if mode == "Disabled" and (result[2] | result[3]).any():
            ended = result[2] | result[3]
            observations, infos = envs.reset(options={"reset_mask": ended.copy()})
            for slot in np.flatnonzero(ended):
                rows[slot].append(last(envs, (observations, *nothing, infos), slot))
        result = envs.step(actions[step])
    envs.close()
    return rows


@contextlib.contextmanager
def vector(host_process: HostProcess, source: str, address: str, paradigm: str, **kwargs: Any) -> Iterator[Any]:
    """Open environments of another process, in one session or in one for each."""
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            number, address = host_process.serve(source, address=address)
            stack.callback(host_process.stop, number)
            envs: Any = rlay.ClientVectorEnv(address, SLOTS, connect_timeout=WAIT, **kwargs)
        else:
            envs = rlay.ServerVectorEnv(address, SLOTS, connect_timeout=WAIT, **kwargs)
            for _ in range(SLOTS):
                number, _ = host_process.dial(source, envs.address, max_sessions=1)
                stack.callback(host_process.stop, number)
        stack.enter_context(contextlib.closing(envs))
        yield envs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("scheme", "paradigm"), [("tcp", "client"), ("tcp", "server"), ("shm", "client")])
@pytest.mark.parametrize("source", ["Blackjack-v1", "vector_envs:Image"])
def test_the_rows_of_each_slot_are_those_of_a_local_vector(
    host_process: HostProcess, fresh: Callable[[str], str], source: str, scheme: str, paradigm: str, mode: str
) -> None:
    random = np.random.default_rng(7)
    space = sync_vector(source, SLOTS, mode).single_action_space
    space.seed(5)
    actions = [[space.sample() for _ in range(SLOTS)] for _ in range(STEPS)]

    def batch(items: list[Any]) -> Any:
        empty = gym.vector.utils.create_empty_array(space, n=len(items))
        return gym.vector.utils.concatenate(space, items, empty)

    theirs = expected(source, mode, [batch(items) for items in actions])  # type: ignore[arg-type]
    with vector(host_process, source, fresh(scheme), paradigm, autoreset_mode=mode) as envs:
        ours: list[list[tuple[Any, ...]]] = [[] for _ in range(SLOTS)]
        taken = [0] * SLOTS
        if paradigm == "server":
            # Which environment has which slot is chance; a seed for each makes that the same.
            envs.reset()
        envs.send_reset(seed=3)
        under_way, waiting = set(range(SLOTS)), set()
        while any(len(rows) < STEPS for rows in ours):
            if under_way:
                least = int(random.integers(1, len(under_way) + 1))
                most = int(random.integers(least, SLOTS + 1))
                rows = envs.recv(min=least, max=most, timeout=[None, 0, 0.001, WAIT][random.integers(4)])
                assert len(rows.slots) <= most and rows.slots.dtype == np.int64
                assert len(set(rows.slots.tolist())) == len(rows.slots)
                for row, slot in enumerate(rows.slots):
                    ours[slot].append(last(envs, rows[:5], row))
                    under_way.remove(slot)
                    waiting.add(slot)
            some = [slot for slot in waiting if random.random() < 0.7]
            again = [slot for slot in some if mode == "Disabled" and ours[slot][-1][2] | ours[slot][-1][3]]
            some = [slot for slot in some if slot not in again and taken[slot] < STEPS]
            if again:
                envs.send_reset(again)
            if some:
                envs.send(batch([actions[taken[slot]][slot] for slot in some]), np.array(some))
                for slot in some:
                    taken[slot] += 1
            waiting -= {*some, *again}
            under_way |= {*some, *again}
    for slot in range(SLOTS):
        found = difference(theirs[slot][:STEPS], ours[slot][:STEPS], f"slot {slot}")
        assert found is None, found


class Gated(gym.Env[Any, Any]):
    """Counts its steps, and waits in those of action 1 until the gate is open."""

    observation_space = gym.spaces.Box(0, 1000, (1,), np.int64)
    action_space = gym.spaces.Discrete(2)
    gate = threading.Event()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        self.count = 0
        return np.array([0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Count."""
        if action == 1:
            assert self.gate.wait(WAIT)
        self.count += 1
        return np.array([self.count]), 1.0, False, False, {}


@contextlib.contextmanager
def lanes(number: int = 3, scheme: str = "tcp", **kwargs: Any) -> Iterator[rlay.ServerVectorEnv]:
    """Open environments that have dialed in, each on a thread of this process."""
    Gated.gate.clear()
    address = {"tcp": "tcp://127.0.0.1:0", "quic": "quic://127.0.0.1:0"}[scheme]
    with contextlib.ExitStack() as stack:
        envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(address, number, **kwargs)))
        stack.callback(Gated.gate.set)
        for _ in range(number):
            stack.enter_context(rlay.ClientBackend(Gated, envs.address, max_sessions=1))
        envs.reset()
        yield envs


@pytest.mark.parametrize("scheme", ["tcp", "quic"])
def test_one_that_is_slow_does_not_hold_the_others(scheme: str) -> None:
    with lanes(scheme=scheme) as envs:
        envs.send([0, 1, 0])
        counts = {0: 0, 2: 0}
        for _ in range(20):
            rows = envs.recv()
            for slot, observation in zip(rows.slots.tolist(), rows.observations, strict=True):
                counts[slot] += 1
                assert observation == counts[slot]
            envs.send([0] * len(rows.slots), rows.slots)
        rows = envs.recv(min=2, timeout=WAIT)
        assert 1 not in rows.slots and len(envs.recv(timeout=0).slots) == 0
        Gated.gate.set()
        rows = envs.recv()
        assert rows.slots.tolist() == [1] and rows.observations.tolist() == [[1]]


def test_nothing_in_time_is_no_error() -> None:
    with lanes(1) as envs:
        envs.send([1])
        for timeout in (0, 0.01):
            rows = envs.recv(timeout=timeout)
            assert rows.observations.shape == (0, 1) and rows.observations.dtype == np.int64
            assert rows.rewards.shape == rows.terminations.shape == rows.truncations.shape == (0,)
            assert rows.infos == {} and rows.slots.shape == (0,)
        Gated.gate.set()
        assert envs.recv().observations.tolist() == [[1]]


def test_what_does_not_go_together() -> None:
    with lanes() as envs:
        with pytest.raises(rlay.Error, match="nothing is under way; send actions first"):
            envs.recv()
        envs.send([1, 0], [0, 2])
        for call in (lambda: envs.send([0, 0], [1, 0]), lambda: envs.send_reset([0])):
            with pytest.raises(rlay.Busy, match="slot 0 is under way"):
                call()
        for call in (lambda: envs.step([0, 0, 0]), lambda: envs.reset(options={"reset_mask": np.array([1, 1, 0]) > 0})):
            with pytest.raises(rlay.Busy, match="rows are under way that send has asked for"):
                call()
        until(lambda: envs.recv(timeout=0.01).slots.tolist() == [2], "the row of slot 2")
        envs.send([0], [1])
        Gated.gate.set()
        assert sorted(envs.recv(min=2).slots.tolist()) == [0, 1]
        assert envs.step([0, 0, 0])[0].tolist() == [[2], [2], [2]]


def test_arguments() -> None:
    with lanes(2) as envs:
        for slots, error in [
            ([2], ValueError),
            ([-1], ValueError),
            ([0, 0], rlay.Error),
            ([], rlay.Error),
            ([0.5], TypeError),
            ("0", TypeError),
            ([[0]], TypeError),
        ]:
            with pytest.raises(error):
                envs.send([0] * len(slots), slots)
        for actions in ([0], [0, 0, 0], 0):
            with pytest.raises((ValueError, TypeError)):
                envs.send(actions, [0, 1])
        envs.send(["x", "y"])
        assert sorted(envs.recv(min=2).slots.tolist()) == [0, 1]
        for kwargs in ({"min": 0}, {"min": 2, "max": 1}, {"min": 3}, {"max": 0}, {"timeout": -1.0}):
            with pytest.raises(ValueError):
                envs.recv(**kwargs)
        with pytest.raises(TypeError):
            envs.recv(min=1.5)  # type: ignore[arg-type]
        assert envs.step([0, 0])[0].tolist() == [[2], [2]]


def test_before_the_first_reset() -> None:
    with (
        rlay.ServerBackend(Ending) as host,
        contextlib.closing(rlay.ClientVectorEnv(host.address, 2)) as envs,
    ):
        with pytest.raises(rlay.ResetNeeded, match="slot 0 was never reset"):
            envs.send([0, 0])
        envs.send_reset([1])
        assert envs.recv().slots.tolist() == [1]
        envs.send([0], [1])
        assert envs.recv().slots.tolist() == [1]
        with pytest.raises(ValueError, match="never reset"):
            envs.reset(options={"reset_mask": np.array([False, True])})


def test_a_reset_of_all_drops_what_is_under_way() -> None:
    with lanes() as envs:
        envs.send([0, 1, 0])
        with thread(lambda: Gated.gate.wait(0.1) or Gated.gate.set()):
            assert envs.reset()[0].tolist() == [[0], [0], [0]]
        with pytest.raises(rlay.Error, match="nothing is under way"):
            envs.recv()
        assert envs.step([0, 0, 0])[0].tolist() == [[1], [1], [1]]


@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_what_one_raises_leaves_the_rows_of_the_others(host_process: HostProcess, paradigm: str) -> None:
    with vector(host_process, "vector_envs:Ending", "tcp://127.0.0.1:0", paradigm) as envs:
        envs.reset(seed=list(range(SLOTS)))
        envs.send([0, 0, 4, 0, 0])
        seen, errors = [], []
        while len(seen) < SLOTS - 1 or not errors:
            try:
                seen += envs.recv().slots.tolist()
            except rlay.EnvError as error:
                errors.append(error)
        assert sorted(seen) == [0, 1, 3, 4] and len(errors) == 1
        assert isinstance(errors[0], ValueError) and errors[0].slot == 2 == pickle.loads(pickle.dumps(errors[0])).slot
        assert "slot 2 fails in step 1" in str(errors[0])
        envs.send([0] * SLOTS)
        while len(seen) < 2 * SLOTS - 1:
            seen += envs.recv().slots.tolist()
        assert envs.step([0] * SLOTS)[0][:, 1].tolist() == [3] * SLOTS


def test_one_that_does_not_answer_in_time() -> None:
    with lanes(timeout=0.3) as envs:
        envs.send([0, 1, 0])
        seen: list[int] = []
        with pytest.raises(rlay.Timeout, match=r"env slot 1: no answer came within the timeout of 0\.3 s"):
            while True:
                seen += envs.recv().slots.tolist()
        assert sorted(seen) == [0, 2]
        Gated.gate.set()
        rows = envs.recv()
        assert rows.slots.tolist() == [1] and rows.observations.tolist() == [[1]]


@pytest.mark.parametrize("on_loss", ["raise", "replace"])
def test_answers_that_wait_for_the_learner_are_in_time(on_loss: str) -> None:
    with lanes(2, timeout=0.4, on_loss=on_loss) as envs:
        for most in (2, 1):
            envs.send([0, 0])
            time.sleep(0.8)
            rows = [envs.recv(max=most) for _ in range(2 // most)]
            assert sorted(slot for row in rows for slot in row.slots.tolist()) == [0, 1]
            assert not any(row.infos for row in rows) and not envs.vacant.any()


def test_each_error_is_raised(host_process: HostProcess) -> None:
    with vector(host_process, "vector_envs:Ending", "tcp://127.0.0.1:0", "client") as envs:
        envs.reset(seed=list(range(SLOTS)))
        envs.send([4, 4, 0, 4, 0])
        # All of them have come when the first is asked for.
        time.sleep(0.2)
        slots, failed = [], []
        while len(slots) + len(failed) < SLOTS:
            try:
                slots += envs.recv().slots.tolist()
            except rlay.EnvError as error:
                failed.append(error.slot)
        assert sorted(slots) == [2, 4] and sorted(failed) == [0, 1, 3]
        with pytest.raises(rlay.Error, match="nothing is under way"):
            envs.recv()


def test_rows_that_are_there_are_returned_where_no_environment_comes() -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, on_loss="replace", reconnect_timeout=0.0, connect_timeout=5.0)
    with contextlib.closing(envs), contextlib.ExitStack() as stack:
        backends = [stack.enter_context(rlay.ClientBackend(Gated, envs.address, max_sessions=1)) for _ in range(2)]
        envs.reset()
        backends[0].close()
        envs.send([0, 0])
        rows = envs.recv(min=2)
        lost = rows.slots[rows.infos["vacant"]].tolist()
        envs.send([0, 0])
        # No timeout is given: connect_timeout is what ends this.
        assert envs.recv(min=2).slots.tolist() == [1 - lost[0]]
        with pytest.raises(rlay.Timeout, match=f"no environment has taken env slot {lost[0]}"):
            envs.recv()


HOST = GAME.replace("ClientBackend(Counter, sys.argv[1], max_sessions=1)", "ServerBackend(Counter, sys.argv[1])")


def test_what_slots_say_that_were_idle_when_their_host_was_lost() -> None:
    address = free_address()
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(python(HOST, address))
        host.find("ready")
        envs = rlay.ClientVectorEnv(
            address, 2, on_loss="truncate", reconnect_timeout=0.0, connect_timeout=WAIT, autoreset_mode="SameStep"
        )
        stack.enter_context(contextlib.closing(envs))
        envs.reset(seed=1)
        for _ in range(3):
            envs.send([1, 1])
            envs.recv(min=2)
        envs.send([1], [0])
        host.kill()
        rows = envs.recv()
        while "lost" not in rows.infos:
            envs.send([1], [0])
            rows = envs.recv()
        assert rows.slots.tolist() == [0] and rows.truncations.all()
        stack.enter_context(python(HOST, address)).find("ready")
        envs.send([1], [0])
        # The other slot has a last observation to tell before the new host's is taken.
        envs.send([1], [1])
        rows = envs.recv()
        assert rows.slots.tolist() == [1] and rows.truncations.all() and "lost" in rows.infos
        assert rows.observations[0].tolist() == [3.0, 1.0] == rows.infos["final_obs"][0].tolist()
        envs.send([1], [1])
        rows = envs.recv(min=2, timeout=WAIT)
        assert sorted(rows.slots.tolist()) == [0, 1] and rows.observations.tolist() == [[0.0, 1.0]] * 2
        assert not rows.truncations.any() and rows.rewards.tolist() == [0.0, 0.0]
        envs.send([1, 1])
        assert envs.recv(min=2, timeout=WAIT).observations.tolist() == [[1.0, 1.0]] * 2


def test_a_reset_that_is_late() -> None:
    with lanes(2, timeout=0.3) as envs:
        envs.send([0, 1])
        with pytest.raises(rlay.Timeout, match=r"late\(\)"):
            envs.reset()
        Gated.gate.set()
        envs.late(timeout=WAIT)
        with pytest.raises(rlay.Error, match="nothing is under way"):
            envs.recv()
        assert envs.reset()[0].tolist() == [[0], [0]]
        envs.send([0, 0])
        assert sorted(envs.recv(min=2).slots.tolist()) == [0, 1]


class Wide(Gated):
    """Observes four megabytes."""

    observation_space = gym.spaces.Box(0, 1, (1 << 20,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        return np.zeros(1 << 20, np.float32), {}


def test_large_requests_and_large_answers_pass_each_other() -> None:
    with rlay.ServerBackend(Wide) as host, rlay.ClientVectorEnv(host.address, 4, timeout=WAIT) as envs:
        envs.send_reset(options={"map": np.zeros(4 << 20, np.uint8)})
        slots: list[int] = []
        while len(slots) < 4:
            slots += envs.recv().slots.tolist()
        assert sorted(slots) == [0, 1, 2, 3]


def test_ctrl_c_ends_the_wait_and_loses_no_row() -> None:
    with lanes(2) as envs:
        envs.send([1, 0])
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            before = signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                envs.recv(min=2)
            finally:
                signal.signal(signal.SIGALRM, before)
        assert envs.recv(timeout=0).slots.tolist() == [1]
        Gated.gate.set()
        assert envs.recv().slots.tolist() == [0]


def test_close_while_rows_are_under_way() -> None:
    with lanes(2) as envs:
        envs.send([0, 0])
        envs.close()
        with pytest.raises(rlay.Closed):
            envs.recv()


def test_side_by_side_over_several_transports(host_process: HostProcess, fresh: Callable[[str], str]) -> None:
    parts = []
    for scheme in ("tcp", "shm", "zmq", "quic", "unix", "ws"):
        _, address = host_process.serve("vector_envs:Ending", address=fresh(scheme))
        parts.append(rlay.ClientVectorEnv(address, 2, connect_timeout=WAIT))
    with contextlib.closing(rlay.join(parts)) as envs:
        envs.reset(seed=list(range(envs.num_envs)))
        counts = [0] * envs.num_envs
        envs.send([0] * envs.num_envs)
        for _ in range(200):
            rows = envs.recv()
            for slot, observation in zip(rows.slots.tolist(), rows.observations.tolist(), strict=True):
                counts[slot] += 1
                assert observation == [slot, counts[slot]]
            envs.send([0] * len(rows.slots), rows.slots)
        assert min(counts) > 0


class Learner:
    """Takes transitions of a `ServerVectorEnv` as they come, and checks that each is of one game and one episode."""

    def __init__(self, envs: rlay.ServerVectorEnv) -> None:
        self.envs, self.transitions, self.lost = envs, 0, 0
        self.before, _ = envs.reset(seed=1)
        self.ended = np.zeros(envs.num_envs, dtype=np.bool_)
        envs.send(np.ones(envs.num_envs, dtype=np.int64))

    def take(self) -> None:
        rows = self.envs.recv(timeout=0.2)
        for row, slot in enumerate(rows.slots):
            observation, truncated = rows.observations[row], rows.truncations[row]
            if not self.ended[slot] and not truncated:
                assert observation[0] == self.before[slot, 0] + 1 and observation[1] == self.before[slot, 1]
                assert rows.rewards[row] == 1.0
                self.transitions += 1
            elif truncated:
                assert info_of(rows.infos, row)["vacant"] and "lost" in info_of(rows.infos, row)
                self.lost += 1
            else:
                assert observation[0] == 0.0 and rows.rewards[row] == 0.0
            self.before[slot], self.ended[slot] = observation, truncated | rows.terminations[row]
        if len(rows.slots):
            self.envs.send(np.ones(len(rows.slots), dtype=np.int64), rows.slots)


def test_games_that_are_killed_or_hang_are_replaced() -> None:
    envs = rlay.ServerVectorEnv(num_envs=4, on_loss="truncate", timeout=1.0, reconnect_timeout=0.3)
    with contextlib.closing(envs), games(envs, 4) as started:
        learner = Learner(envs)
        until(lambda: (learner.take(), learner.transitions > 100)[1], "transitions")
        started[1].kill()
        started[2].process.send_signal(signal.SIGSTOP)
        until(lambda: (learner.take(), learner.lost == 2)[1], "both to be lost")
        count = learner.transitions
        until(lambda: (learner.take(), learner.transitions > count + 50)[1], "the others to go on")
        with python(GAME, envs.address), python(GAME, envs.address):
            until(lambda: (learner.take(), not envs.vacant.any())[1], "every slot to have a game")
            count = learner.transitions
            until(lambda: (learner.take(), learner.transitions > count + 50)[1], "all to go on")
        started[2].process.send_signal(signal.SIGCONT)
        assert learner.lost >= 2


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("on_loss", ["replace", "truncate"])
def test_the_rows_of_a_lost_game(mode: str, on_loss: str) -> None:
    envs = rlay.ServerVectorEnv(num_envs=1, on_loss=on_loss, autoreset_mode=mode, reconnect_timeout=0.0)
    act = np.ones(1, dtype=np.int64)
    with contextlib.closing(envs):
        with games(envs, 1) as started:
            envs.reset(seed=1)
            envs.send(act)
            assert envs.recv().observations[0, 0] == 1.0
            started[0].kill()
            envs.send(act)
            rows = envs.recv()
        assert rows.observations.tolist() == [[1.0, 1.0]] and rows.rewards.tolist() == [0.0]
        assert rows.truncations.tolist() == [on_loss == "truncate"] and not rows.terminations.any()
        assert "killed or crashed" in rows.infos["lost"][0] and rows.infos["vacant"].tolist() == [True]
        assert ("final_obs" in rows.infos) == (on_loss == "truncate" and mode == "SameStep")
        envs.send(act)
        assert len(envs.recv(timeout=0.05).slots) == 0, "there is no environment yet"
        with games(envs, 1):
            rows = envs.recv(timeout=WAIT)
            assert rows.observations.tolist() == [[0.0, 1.0]] and rows.rewards.tolist() == [0.0]
            assert not rows.truncations.any() and "lost" not in rows.infos
            envs.send(act)
            assert envs.recv(timeout=WAIT).observations.tolist() == [[1.0, 1.0]]


def test_a_loss_that_is_raised() -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, reconnect_timeout=0.0)
    with contextlib.closing(envs), games(envs, 2) as started:
        envs.reset(seed=1)
        started[0].kill()
        envs.send(np.ones(2, dtype=np.int64))
        with pytest.raises(rlay.ConnectionLost, match=r"env slot [01]: .*killed or crashed"):
            while True:
                envs.recv()


CALLS: list[Callable[[Any], Any]] = [
    lambda envs: envs.send([0, 0]),
    lambda envs: envs.recv(),
    lambda envs: envs.send_reset(),
]


@pytest.mark.parametrize("call", range(len(CALLS)))
def test_beside_calls_in_two_parts(call: int) -> None:
    with lanes(2) as envs:
        envs.step_async([0, 0])
        with pytest.raises(gym.error.AlreadyPendingCallError):
            CALLS[call](envs)
        envs.step_wait()
