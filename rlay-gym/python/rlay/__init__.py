"""RLay: the relay between Gymnasium and any software.

Any program can be a Gymnasium environment, in another process and another language:

>>> import rlay
>>> host = rlay.ServerBackend("CartPole-v1").start()
>>> env = rlay.ClientEnv(host.address)
>>> observation, info = env.reset(seed=7)
>>> observation.shape, observation.dtype
((4,), dtype('float32'))
>>> env.close()
>>> host.close()

============================  =================  =================
..                            dials              listens
============================  =================  =================
the **agent** holds           ``ClientEnv``      ``ServerEnv``
the **env** is hosted by      ``ClientBackend``  ``ServerBackend``
============================  =================  =================
"""

from rlay._backends import ClientBackend, Close, Render, Reset, ServerBackend, Step
from rlay._envs import ClientEnv, ServerEnv, launch
from rlay._first_ready import Rows
from rlay._policy import serve_policy
from rlay._registration import make_client_env, make_client_vector_env, make_server_env, register
from rlay._remote_env import RemoteEnv
from rlay._remote_vector_env import RemoteVectorEnv
from rlay._rlay import __version__
from rlay._spaces import register_space
from rlay._values import Opaque
from rlay._vector_envs import ClientVectorEnv, ServerVectorEnv, join
from rlay.errors import (
    AddressError,
    Busy,
    Closed,
    ConnectionLost,
    ContractError,
    EnvError,
    Error,
    Incompatible,
    InvalidAction,
    ProtocolError,
    ResetNeeded,
    ResourceExhausted,
    Timeout,
    Unauthorized,
)

__all__ = [
    "AddressError",
    "Busy",
    "ClientBackend",
    "ClientEnv",
    "ClientVectorEnv",
    "Close",
    "Closed",
    "ConnectionLost",
    "ContractError",
    "EnvError",
    "Error",
    "Incompatible",
    "InvalidAction",
    "Opaque",
    "ProtocolError",
    "RemoteEnv",
    "RemoteVectorEnv",
    "Render",
    "Reset",
    "ResetNeeded",
    "ResourceExhausted",
    "Rows",
    "ServerBackend",
    "ServerEnv",
    "ServerVectorEnv",
    "Step",
    "Timeout",
    "Unauthorized",
    "__version__",
    "join",
    "launch",
    "make_client_env",
    "make_client_vector_env",
    "make_server_env",
    "register",
    "register_space",
    "serve_policy",
]
