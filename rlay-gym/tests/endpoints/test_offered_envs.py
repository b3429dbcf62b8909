"""What an agent may request of a host: the environments it offers, with the keyword arguments it allows."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import pytest

import rlay
from host_process import HostProcess
from raw_peer import HELLO, MAKE, dial

pytestmark = pytest.mark.gymnasium

SEVERAL = {"pole": "CartPole-v1", "lake": "FrozenLake-v1", "made": "hosted_envs:sized"}


@pytest.fixture(params=["client", "server"])
def several(request: pytest.FixtureRequest, host_process: HostProcess) -> Any:
    """A function that opens an agent's environment on a host that offers several and allows some arguments."""
    allowed = {"env_kwargs": ["size", "is_slippery"]}
    if request.param == "client":
        number, address = host_process.tell("serve", SEVERAL, **allowed)
        yield lambda **kwargs: rlay.ClientEnv(address, **kwargs)
    else:
        with rlay.ServerEnv() as listener:
            number, _ = host_process.tell("dial", SEVERAL, listener.address, **allowed)

            def listen(**kwargs: Any) -> Any:
                env = rlay.ServerEnv(listener.address, **kwargs)
                assert env.observation_space is not None, "it is asked for when it is first needed"
                return env

            yield listen
    host_process.stop(number)


def test_an_agent_names_the_environment(several: Any) -> None:
    with several(env_id="lake", env_kwargs={"is_slippery": False}) as lake:
        assert isinstance(lake.observation_space, gym.spaces.Discrete)
        lake.reset(seed=1)
        assert lake.step(2)[:2] == (1, 0.0)
        with several(env_id="pole") as pole:
            assert isinstance(pole.observation_space, gym.spaces.Box)
    with several(env_id="made", env_kwargs={"size": 7}) as made:
        assert made.observation_space.n == 7
        with pickle.loads(pickle.dumps(made)) as copy:
            assert copy.observation_space.n == 7


REFUSED = {
    "no name": ({}, "this host has several environments; say which with env_id: pole, lake, made"),
    "another name": ({"env_id": "os"}, 'this host offers no environment "os"; agents may ask for'),
    "another argument": ({"env_id": "pole", "env_kwargs": {"sutton_barto_reward": True}}, "no keyword argument"),
    "an argument that it does not know": ({"env_id": "pole", "env_kwargs": {"size": 1}}, "size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_offered_is_refused(several: Any, name: str) -> None:
    asked, text = REFUSED[name]
    with pytest.raises(rlay.Error) as raised:
        several(**asked)
    assert text in str(raised.value)
    several(env_id="pole").close()


def test_a_host_of_one_offers_no_choice(host_process: HostProcess) -> None:
    number, address = host_process.serve("CartPole-v1")
    for asked in ({"env_id": "CartPole-v1"}, {"env_kwargs": {"render_mode": "human"}}):
        with pytest.raises(rlay.Error, match="agents may ask for none"):
            rlay.ClientEnv(address, **asked)
    env = gym.make("rlay:ClientEnv-v0", address=address)
    env.close()
    host_process.stop(number)


def test_names_of_modules_are_only_names(host_process: HostProcess) -> None:
    """For ``gym.make`` an id may name a module to import; from an agent it is a name like any other."""
    number, address = host_process.serve(SEVERAL)
    with dial(address) as foreign_peer:
        foreign_peer.send("Hello", HELLO)
        assert foreign_peer.receive()["kind"] == "Welcome"
        foreign_peer.send("Make", MAKE | {"env_id": "antigravity:X-v0"})
        answer = foreign_peer.receive()
        assert (answer["kind"], answer["body"]["code"]) == ("Error", 1)
        assert "offers no environment" in answer["body"]["failure"]["message"]
    host_process.stop(number)


@pytest.mark.parametrize(
    ("source", "env_kwargs"),
    [
        ({}, ()),
        ({1: "CartPole-v1"}, ()),
        ({"a": {"b": "CartPole-v1"}}, ()),
        ({"a": 7}, ()),
        ("CartPole-v1", "size"),
        ("CartPole-v1", [1]),
    ],
)
def test_what_cannot_be_offered_is_an_error(source: Any, env_kwargs: Any) -> None:
    with pytest.raises(TypeError):
        rlay.ServerBackend(source, env_kwargs=env_kwargs)


@pytest.mark.parametrize("name", ["render_mode", "id", "max_episode_steps", "disable_env_checker"])
def test_what_is_not_the_environments_cannot_be_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        rlay.ServerBackend("CartPole-v1", env_kwargs=(name,))


def test_the_poll_form_offers_nothing() -> None:
    with rlay.ServerEnv() as listener, pytest.raises(rlay.Error, match="as it is"):
        rlay.ClientBackend({"lake": "FrozenLake-v1"}, listener.address).turn()


def test_an_instance_takes_no_arguments() -> None:
    with pytest.raises(TypeError, match="made already"):
        rlay.ServerBackend(gym.make("CartPole-v1"), env_kwargs=("size",))
    with pytest.raises(TypeError, match="among several"):
        rlay.ServerBackend({"one": gym.make("CartPole-v1")})
