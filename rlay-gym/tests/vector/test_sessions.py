"""The life of a ClientVectorEnv's session: calls in two parts, threads, forks, Ctrl-C, copies, losses and ends."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import multiprocessing
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

import rlay
import scripted_env
from forks import OPEN_THEM_IN_THE_CHILD, Child
from processes import WAIT, free_address, python, thread, until
from scripted_host import ScriptedHost

SLOTS = 3
WALK = [0] * SLOTS
WAIT_IN_SLOT_1 = [0, scripted_env.WAIT, 0]

MakeVector = Callable[..., rlay.ClientVectorEnv]


@pytest.fixture
def vector(scripted_host: ScriptedHost) -> Iterator[MakeVector]:
    """``vector(source)``: three environments of a host of their own."""
    opened: list[rlay.ClientVectorEnv] = []

    def vector(source: str = "scripted_env:ScriptedEnv", slots: int = SLOTS, **kwargs: Any) -> rlay.ClientVectorEnv:
        opened.append(rlay.ClientVectorEnv(scripted_host.serve(source), slots, **{"connect_timeout": WAIT, **kwargs}))
        return opened[-1]

    yield vector
    scripted_host.release()
    for envs in opened:
        with contextlib.suppress(rlay.Error):
            envs.close()


def column(result: Any) -> list[int]:
    """Return the observations of scripted environments as a list."""
    return result[0][:, 0].tolist()


class TestCallsInTwoParts:
    """As AsyncVectorEnv has them."""

    def test_results(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset_async(seed=3, options={"level": 2})
        assert column(envs.reset_wait()) == [0, 0, 0]
        assert envs.np_random_seed == (3, 4, 5)
        for step in range(1, 4):
            envs.step_async(WALK if step % 2 else np.array(WALK))
            observations, rewards, terminations, truncations, infos = envs.step_wait(timeout=WAIT)
            assert observations.tolist() == [[step]] * SLOTS and rewards.tolist() == [step] * SLOTS
            assert not terminations.any() and not truncations.any() and infos["action"].tolist() == WALK
        assert column(envs.step(WALK)) == [4, 4, 4]

    @pytest.mark.parametrize("call", ["reset", "step"])
    def test_another_call_while_one_is_pending(self, vector: MakeVector, call: str) -> None:
        envs = vector(render_mode="ansi")
        envs.reset()
        begin: dict[str, Callable[[], Any]] = {"reset": envs.reset_async, "step": lambda: envs.step_async(WALK)}
        begin[call]()
        others: dict[str, Callable[[], Any]] = {
            "reset": envs.reset,
            "step": lambda: envs.step(WALK),
            "reset_async": envs.reset_async,
            "step_async": lambda: envs.step_async(WALK),
            "render": envs.render,
            "late": envs.late,
        }
        for name, other in others.items():
            text = f"Calling `{name}` while waiting for a pending call to `{call}` to complete"
            with pytest.raises(AlreadyPendingCallError) as caught:
                other()
            assert str(caught.value) == text and caught.value.name == call
        other = "step" if call == "reset" else "reset"
        with pytest.raises(NoAsyncCallError):
            getattr(envs, f"{other}_wait")()
        result = getattr(envs, f"{call}_wait")()
        assert column(result) == [int(call == "step")] * SLOTS

    @pytest.mark.parametrize("call", ["reset", "step"])
    def test_a_wait_for_nothing(self, vector: MakeVector, call: str) -> None:
        envs = vector()
        envs.reset()
        with pytest.raises(NoAsyncCallError) as caught:
            getattr(envs, f"{call}_wait")()
        assert str(caught.value) == f"Calling `{call}_wait` without any prior call to `{call}_async`."
        assert caught.value.name == call
        assert column(envs.step(WALK)) == [1, 1, 1]

    def test_a_wait_that_times_out(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector()
        envs.reset()
        envs.step_async(WAIT_IN_SLOT_1)
        with pytest.raises(multiprocessing.TimeoutError) as caught:
            envs.step_wait(timeout=0.05)
        assert str(caught.value).startswith("The call to `step_wait` has timed out after 0.05 second(s).")
        assert isinstance(caught.value.__cause__, rlay.Timeout)
        with pytest.raises(NoAsyncCallError):
            envs.step_wait()
        with pytest.raises(rlay.Busy, match="late"):
            envs.step(WALK)
        scripted_host.release()
        observations, rewards, *_ = envs.late(WAIT)
        assert observations.tolist() == [[1]] * SLOTS and rewards.tolist() == [1.0] * SLOTS
        with pytest.raises(rlay.Error, match="no answer is late"):
            envs.late()
        assert column(envs.step(WALK)) == [2, 2, 2]

    def test_a_late_answer_is_dropped_by_a_reset(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector()
        envs.reset()
        envs.timeout = 0.05
        with pytest.raises(rlay.Timeout):
            envs.step(WAIT_IN_SLOT_1)
        scripted_host.release()
        envs.timeout = WAIT
        assert column(envs.reset()) == [0, 0, 0]
        assert column(envs.step(WALK)) == [1, 1, 1]

    def test_a_late_reset(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector()
        envs.reset_async(options={"wait_in": "reset"})
        with pytest.raises(multiprocessing.TimeoutError, match="`reset_wait` has timed out after 0.05 second"):
            envs.reset_wait(timeout=0.05)
        for times in range(1, SLOTS + 1):
            scripted_host.wait_for("reset", times)
            scripted_host.release()
        assert column(envs.late(WAIT)) == [0, 0, 0]
        assert column(envs.step(WALK)) == [1, 1, 1]

    def test_the_timeout_of_the_environments_bounds_a_wait(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        envs.timeout = 0.05
        envs.step_async(WAIT_IN_SLOT_1)
        with pytest.raises(multiprocessing.TimeoutError, match=r"timed out after 0.05 second\(s\)"):
            envs.step_wait()

    def test_a_timeout_that_is_none(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        envs.step_async(WALK)
        for wrong, error in (("1", TypeError), (-1, ValueError)):
            with pytest.raises(error, match="timeout="):
                envs.step_wait(timeout=wrong)  # type: ignore[arg-type]
        assert column(envs.step_wait()) == [1, 1, 1]
        for name, value in (("timeout", "1"), ("on_loss", "hope")):
            with pytest.raises((TypeError, ValueError), match=name):
                setattr(envs, name, value)

    def test_an_error_of_an_environment(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        envs.step_async([0, scripted_env.RAISE, 0])
        with pytest.raises(ValueError, match="no such step"):
            envs.step_wait()
        assert column(envs.step(WALK)) == [2, 1, 2]

    def test_arguments_are_checked_before_anything_is_pending(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        wrong: list[Callable[[], Any]] = [
            lambda: envs.step_async([0]),
            lambda: envs.reset_async(seed=[1]),
            lambda: envs.reset_async(seed=-1),
            lambda: envs.reset_async(options={"reset_mask": [True] * SLOTS}),
        ]
        for call in wrong:
            with pytest.raises((ValueError, TypeError, gym.error.Error)):
                call()
        assert column(envs.step(WALK)) == [1, 1, 1]

    def test_close_while_a_call_is_pending(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector()
        envs.reset()
        envs.step_async(WALK)
        envs.close()
        assert envs.closed
        with pytest.raises(gym.error.ClosedEnvironmentError):
            envs.step_wait()
        scripted_host.wait_for("close", SLOTS)


class TestThreads:
    """One at a time."""

    def test_a_second_one_is_told(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector(render_mode="ansi")
        envs.reset()
        answers: list[Any] = []
        with thread(lambda: answers.append(envs.step(WAIT_IN_SLOT_1))):
            scripted_host.wait_for("step", 2)
            for call in (envs.reset, lambda: envs.step(WALK), envs.render, envs.close):
                with pytest.raises(rlay.Busy):
                    call()
            assert not envs.closed
            scripted_host.release()
        assert column(answers[0]) == [1, 1, 1]
        assert column(envs.step(WALK)) == [2, 2, 2], "the refused close has closed nothing"
        envs.close()
        scripted_host.wait_for("close", SLOTS)

    def test_in_turns(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        for step in range(1, 20):
            answers: list[Any] = []
            with thread(lambda: answers.append(envs.step(WALK))):
                pass
            assert column(answers[0]) == [step] * SLOTS


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestForks:
    """The session is the parent's."""

    def test_calls_in_the_child(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector(render_mode="ansi")
        envs.reset()
        calls: list[Callable[[], Any]] = [
            envs.reset, envs.render, envs.reset_async, envs.late,
            lambda: envs.step(WALK), lambda: envs.step_async(WALK),
        ]  # fmt: skip
        for call in calls:
            with Child(call) as child:
                assert OPEN_THEM_IN_THE_CHILD in child.said()
                child.leave()
        with Child(envs.close) as child:
            assert child.said() == "None"
            child.leave()
        assert [column(envs.step(WALK)) for _ in range(2)] == [[1] * SLOTS, [2] * SLOTS]
        assert scripted_host.calls().count("step") == 2 * SLOTS

    def test_a_copy_in_the_child(self, vector: MakeVector) -> None:
        envs = vector()
        envs.reset()
        envs.step(WALK)

        def play() -> Any:
            again = pickle.loads(pickle.dumps(envs))
            again.reset()
            return column(again.step(WALK))

        with Child(play) as child:
            assert child.said() == "[1, 1, 1]"
            child.leave()
        assert column(envs.step(WALK)) == [2, 2, 2]


INTERRUPTED = {
    "reset": ("envs.reset(options={'wait_in': 'reset'})", "0"),
    "step": ("envs.step([0, scripted_env.WAIT, 0])", "1"),
}


@pytest.mark.parametrize("go_on", ["late", "reset"])
@pytest.mark.parametrize("call", INTERRUPTED)
def test_ctrl_c(scripted_host: ScriptedHost, call: str, go_on: str) -> None:
    source = f"""
        import sys, scripted_env, rlay
        envs = rlay.ClientVectorEnv(sys.argv[1], 3)
        envs.reset()
        try:
            {INTERRUPTED[call][0]}
        except KeyboardInterrupt:
            print("interrupted")
        try:
            envs.step([0] * 3)
        except rlay.Busy:
            print("busy")
        sys.stdin.readline()
        if sys.argv[2] == "late":
            print("late", envs.late(20)[0].tolist())
        print("reset", envs.reset()[0].tolist())
        print("step", envs.step([0] * 3)[0].tolist())
        envs.close()
        """
    with python(source, scripted_host.serve(), go_on) as program:
        scripted_host.wait_for("reset" if call == "reset" else "step", 4 if call == "reset" else 2)
        program.interrupt()
        assert [program.line(), program.line()] == ["interrupted", "busy"]
        program.say("go on")
        waits = SLOTS if call == "reset" else 1
        for times in range(waits):
            if call == "reset":
                scripted_host.wait_for("reset", 4 + times)
            scripted_host.release()
        if go_on == "late":
            assert program.line() == f"late {[[int(INTERRUPTED[call][1])]] * 3}"
        assert [program.line(), program.line()] == ["reset [[0], [0], [0]]", "step [[1], [1], [1]]"]
        assert program.wait() == 0


@pytest.mark.parametrize("go_on", ["late", "reset"])
def test_ctrl_c_between_a_request_and_the_wait_for_its_answer(vector: MakeVector, go_on: str) -> None:
    envs = vector()
    envs.reset()
    envs._open().send_step_each(WALK, None)
    with pytest.raises(rlay.Busy):
        envs.step(WALK)
    if go_on == "late":
        assert column(envs.late(WAIT)) == [1, 1, 1]
    assert column(envs.reset()) == [0, 0, 0]


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda envs: pickle.loads(pickle.dumps(envs)),
}

GIVEN: dict[str, Any] = {
    "num_envs": 2,
    "autoreset_mode": "SameStep",
    "render_mode": "ansi",
    "timeout": 19.0,
    "connect_timeout": WAIT,
    "liveness": 17.0,
    "notice_after": 9.0,
    "token": "a token of some length",
    "max_frame": 1 << 20,
    "reconnect_timeout": 3.0,
    "on_loss": "replace",
    "copy": False,
    "env_id": "sized",
    "env_kwargs": {"size": 5},
    "log": "somewhere",
    "restarts": 2,
    "close_timeout": 7.0,
}
"""A value for every argument that is not its default, so that a copy cannot have it by chance."""


@pytest.mark.parametrize("way", WAYS)
class TestCopies:
    """Each is a session of its own."""

    @pytest.mark.gymnasium
    def test_every_argument_is_kept(self, way: str) -> None:
        import vector_envs

        parameters = inspect.signature(rlay.ClientVectorEnv).parameters
        assert set(parameters) - {"address"} == set(GIVEN), "the table is of every argument"
        assert not any(GIVEN[name] == parameters[name].default for name in GIVEN)
        sources = {"sized": vector_envs.sized}
        with rlay.ServerBackend(sources, token=GIVEN["token"], env_kwargs=["size"]) as host:
            with rlay.ClientVectorEnv(host.address, **GIVEN) as envs, WAYS[way](envs) as again:
                cls, arguments, _ = envs.__reduce__()[0], *envs.__reduce__()[1:]
                assert again.__reduce__() == (cls, arguments, envs.__reduce__()[2])
                assert {**arguments[2], "autoreset_mode": "SameStep"} == GIVEN
                assert again.reset(seed=1)[0].tolist() == [[0, 1, 2, 3, 4]] * 2
                assert again.render() == ("slot 1, step 0", "slot 2, step 0")

    def test_a_session_of_its_own(self, vector: MakeVector, way: str) -> None:
        envs = vector(render_mode="ansi")
        envs.reset()
        envs.step(WALK)
        envs.timeout, envs.notes = 18.0, ["mine"]  # type: ignore[attr-defined]
        with WAYS[way](envs) as again:
            assert type(again) is rlay.ClientVectorEnv
            kept = {name: value for name, value in vars(envs).items() if not name.startswith("_")}
            assert {name: vars(again)[name] for name in kept} == kept
            with pytest.raises(gym.error.ResetNeeded):
                again.step(WALK)
            again.reset()
            assert column(again.step(WALK)) == [1] * SLOTS and column(envs.step(WALK)) == [2] * SLOTS
        assert not envs.closed

    def test_a_copy_of_what_was_closed_is_open(self, vector: MakeVector, way: str) -> None:
        envs = vector()
        envs.close()
        with WAYS[way](envs) as again:
            assert envs.closed and not again.closed
            assert column(again.reset()) == [0] * SLOTS


class TestLosses:
    """A host that vanishes."""

    def test_every_later_call_says_so(self, own_scripted_host: ScriptedHost) -> None:
        envs = rlay.ClientVectorEnv(own_scripted_host.serve(), SLOTS, render_mode="ansi", connect_timeout=WAIT)
        envs.reset()
        own_scripted_host.host.kill()
        mask = {"reset_mask": np.array([True, False, False])}
        calls: list[Callable[[], Any]] = [
            lambda: envs.step(WALK), lambda: envs.step(WALK), envs.reset, envs.render, lambda: envs.reset(options=mask),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(rlay.ConnectionLost):
                call()
        with pytest.raises(rlay.ConnectionLost):
            envs.step_async(WALK)
            envs.step_wait()
        envs.close()
        assert envs.closed

    @pytest.mark.parametrize("on_loss", ["replace", "truncate"])
    def test_another_host_takes_over(
        self, own_scripted_host: ScriptedHost, scripted_host: ScriptedHost, on_loss: Any
    ) -> None:
        address = free_address()
        envs = rlay.ClientVectorEnv(
            own_scripted_host.serve(address=address), SLOTS, on_loss=on_loss, connect_timeout=WAIT
        )
        spaces = envs.observation_space, envs.action_space
        envs.reset()
        own_scripted_host.host.kill()
        scripted_host.serve(address=address)
        observations, rewards, terminations, truncations, infos = envs.step(WALK)
        assert observations.tolist() == [[0]] * SLOTS and not (rewards.any() or terminations.any())
        assert infos["vacant"].all() and truncations.all() == (on_loss == "truncate")
        until(lambda: (envs.step(WALK), not envs.vacant.any())[1], "the other host to take over")
        assert column(envs.reset()) == [0] * SLOTS
        assert column(envs.step(WALK)) == [1] * SLOTS
        assert (envs.observation_space, envs.action_space) == spaces
        assert envs.observation_space is spaces[0]
        envs.close()

    def test_a_late_answer_that_never_comes(self, own_scripted_host: ScriptedHost, scripted_host: ScriptedHost) -> None:
        address = free_address()
        envs = rlay.ClientVectorEnv(own_scripted_host.serve(address=address), SLOTS, connect_timeout=WAIT)
        envs.reset()
        envs.step_async(WAIT_IN_SLOT_1)
        with pytest.raises(multiprocessing.TimeoutError):
            envs.step_wait(timeout=0.05)
        envs.on_loss = "replace"
        own_scripted_host.host.kill()
        scripted_host.serve(address=address)
        assert column(envs.reset()) == [0] * SLOTS
        envs.close()

    def test_it_can_be_decided_later(self, own_scripted_host: ScriptedHost, scripted_host: ScriptedHost) -> None:
        address = free_address()
        envs = rlay.ClientVectorEnv(own_scripted_host.serve(address=address), SLOTS, connect_timeout=WAIT)
        envs.reset()
        own_scripted_host.host.kill()
        with pytest.raises(rlay.ConnectionLost):
            envs.step(WALK)
        envs.on_loss = "replace"
        scripted_host.serve(address=address)
        assert column(envs.reset()) == [0] * SLOTS
        envs.close()


class TestEnds:
    """Vectors that are not closed leave nothing behind."""

    @pytest.mark.gymnasium
    def test_close_as_often_as_one_likes(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = vector(render_mode="ansi")
        envs.reset()
        with envs as same:
            assert same is envs
        assert envs.closed
        for _ in range(2):
            envs.close()
        assert scripted_host.calls().count("close") == SLOTS
        calls: list[Callable[[], Any]] = [
            envs.reset, lambda: envs.step(WALK), envs.render, envs.reset_async, lambda: envs.step_async(WALK),
            envs.reset_wait, envs.step_wait, envs.late,
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(gym.error.ClosedEnvironmentError, match="closed"):
                call()

    def test_render_of_what_was_closed_without_a_mode(self, vector: MakeVector) -> None:
        envs = vector()
        envs.close()
        with pytest.raises(gym.error.ClosedEnvironmentError):
            envs.render()

    @pytest.mark.gymnasium
    def test_collected(self, vector: MakeVector, scripted_host: ScriptedHost) -> None:
        envs = rlay.ClientVectorEnv(scripted_host.serve(), SLOTS, connect_timeout=WAIT)
        envs.reset()
        gone = weakref.ref(envs)
        del envs
        gc.collect()
        assert gone() is None
        scripted_host.wait_for("close", SLOTS)

    @pytest.mark.gymnasium
    @pytest.mark.parametrize(
        "last", ["", "envs.step_async([0] * 3)", "envs.close()", "raise SystemExit", "envs.loop = envs"]
    )
    def test_the_end_of_the_program(self, scripted_host: ScriptedHost, last: str) -> None:
        source = f"""
            import sys, rlay
            envs = rlay.ClientVectorEnv(sys.argv[1], 3)
            envs.reset()
            print(envs.step([0] * 3)[0].tolist())
            {last}
            """
        with python(source, scripted_host.serve()) as program:
            assert program.line() == "[[1], [1], [1]]"
            assert program.wait() == 0
            assert not program.errors
        scripted_host.wait_for("close", SLOTS)

    def test_a_program_that_is_launched(self) -> None:
        command = "exec:{} -c \"import rlay; rlay.ClientBackend('CartPole-v1').run()\""
        import sys

        with rlay.ClientVectorEnv(command.format(sys.executable), 4, connect_timeout=WAIT) as envs:
            local = gym.make_vec("CartPole-v1", 4, "sync")
            assert np.array_equal(envs.reset(seed=3)[0], local.reset(seed=3)[0])
            actions = np.array([0, 1, 0, 1])
            assert np.array_equal(envs.step(actions)[0], local.step(actions)[0])


@pytest.mark.gymnasium
def test_it_says_what_it_is(vector: MakeVector) -> None:
    envs = vector("CartPole-v1", 4)
    assert repr(envs) == str(envs) == f"ClientVectorEnv<CartPole-v1>({envs.address}, num_envs=4)"
    envs.close()
    assert repr(envs) == f"ClientVectorEnv<CartPole-v1>({envs.address}, num_envs=4)"
    half = rlay.ClientVectorEnv.__new__(rlay.ClientVectorEnv)
    assert repr(half) == "ClientVectorEnv(without an address, num_envs=None)"
    wrapper = gym.vector.VectorWrapper(vector("CartPole-v1", 2))
    assert "ClientVectorEnv<CartPole-v1>" in repr(wrapper)


def test_nobody_is_there() -> None:
    with pytest.raises(rlay.ConnectionLost) as kept:
        rlay.ClientVectorEnv(free_address(), 2, connect_timeout=0.1)
    assert kept.traceback
