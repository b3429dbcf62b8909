--- Calls the client wrongly, and expects errors. Without arguments it makes every mistake that takes no agent; with
-- `--listen ADDRESS` it hosts environments that are wrong in the way that the id says, and a log that fails.

package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local rlay = require("rlay")

local CODE, NAN, INF = rlay.code, 0 / 0, math.huge
local UNSHOWN = setmetatable({}, { __tostring = function() error("not shown") end })

--- Fails unless the mistake raises an error of this code whose message has this text.
local function expect(code, text, mistake, ...)
  local ok, err = pcall(mistake, ...)
  if ok then error("not refused: " .. text, 2) end
  if type(err) ~= "table" or err.code ~= code or not err.message:find(text, 1, true) then
    error(("another error instead of %s: %s"):format(text, tostring(err)), 2)
  end
end

--- Fails unless the call is refused as wrong usage.
local function refuses(text, mistake, ...) expect(CODE.USAGE, text, mistake, ...) end

local function mistake_spaces()
  local Box, two = rlay.Box, { 2 }
  refuses("low bound", Box, NAN, 1, two)
  refuses("high bound", Box, 0, NAN, two, "int32")
  refuses("low bound", Box, { 0, NAN }, { 1, 1 })
  refuses("a low bound", Box, nil, 1)
  refuses("a high bound", Box, 0, nil, two)
  refuses("cannot hold", Box, "0", 1, two)
  refuses("above the high one", Box, 1, 0, two)
  refuses("above the high one", Box, { 0, 3 }, { 1, 2 })
  refuses("above the high one", Box, true, false, two, "bool")
  refuses("above the high one", Box, -1, 1, two, "uint64")
  refuses("low bound", Box, INF, INF, {})
  refuses("high bound", Box, -INF, -INF, {})
  refuses("cannot hold", Box, 0, 256, two, "uint8")
  refuses("cannot hold", Box, 0.5, 1, two, "int8")
  refuses("size of a shape", Box, 0, 1, { -2 })
  refuses("size of a shape", Box, 0, 1, { 1.5 })
  refuses("a shape", Box, 0, 1, 2)
  refuses("too many elements", Box, 0, 1, { 1 << 40, 1 << 40 })
  refuses("2^40 bytes", Box, 0, 1, { 1 << 40, 2 })
  refuses("do not fit", Box, { 0, 0 }, { 1, 1, 1 })
  refuses("unknown dtype", Box, 0, 1, two, "float")
  for _, n in ipairs({ 0, -3, 2.5, NAN, "3", {} }) do refuses("n is an integer", rlay.Discrete, n) end
  refuses("n is an integer", rlay.Discrete)
  refuses("a start", rlay.Discrete, 3, NAN)
  refuses("float32", rlay.Discrete, 3, 0, "float32")
  refuses("size of a shape", rlay.MultiBinary, -1)
  refuses("a shape", rlay.MultiBinary)
  for _, n in ipairs({ 0, 2.5, NAN }) do refuses("a count", rlay.MultiDiscrete, { 3, n }) end
  refuses("table of numbers", rlay.MultiDiscrete, 3)
  refuses("do not fit", rlay.MultiDiscrete, { 3, 4 }, { 1 })
  refuses("a start", rlay.MultiDiscrete, { 3, 4 }, { 1, 0.5 })
  for _, n in ipairs({ -1, 2.5, NAN, "2" }) do refuses("greatest length", rlay.Text, n) end
  refuses("greatest length", rlay.Text)
  refuses("greatest length", rlay.Text, 2, 3)
  refuses("least length", rlay.Text, 2, -1)
  refuses("charset", rlay.Text, 2, 1, 5)
  refuses("charset", rlay.Text, 2, 1, "\xff")
  for _, spaces in ipairs({ 5, { 5 }, { {} }, { UNSHOWN } }) do
    for _, kind in ipairs({ rlay.Tuple, rlay.OneOf, rlay.Dict, rlay.Sequence, rlay.Graph }) do
      refuses("", kind, spaces)
      refuses("", kind)
    end
  end
  refuses("no space", rlay.Graph, rlay.Discrete(2), 5)
  refuses("table of spaces", rlay.Tuple, rlay.Discrete(2))
  refuses("a table", rlay.Dict, rlay.Discrete(2))
  refuses("twice", rlay.Dict, { { "a", rlay.Discrete(2) }, { "a", rlay.Discrete(2) } })
  refuses("no space", rlay.OneOf, {})
end

local function mistake_values()
  refuses("6 elements", rlay.NdArray, "float32", { 4 }, { 1, 2, 3, 4, 5, 6 })
  refuses("size of a shape", rlay.NdArray, "int8", { -1 }, {})
  refuses("a shape", rlay.NdArray, "int8", nil, { 1 })
  refuses("cannot hold", rlay.NdArray, "float32", { 1 }, { "1" })
  refuses("cannot hold", rlay.NdArray, "bool", { 1 }, { {} })
  refuses("a table", rlay.NdArray, "int8", { 1 }, 5)
  refuses("cannot hold", rlay.Scalar, "int8", 128)
  refuses("cannot hold", rlay.Scalar, "int8", NAN)
  refuses("cannot hold", rlay.Scalar, "float16")
end

local function mistake_options()
  refuses("eight visible", rlay.EnvSession, { token = "seven 7" })
  refuses("eight visible", rlay.EnvSession, { token = "\t           \n" })
  refuses("eight visible", rlay.EnvSession, { token = "not UTF-8 \xff" })
  refuses("string", rlay.EnvSession, { token = 12345678 })
  for _, n in ipairs({ 0, "3", 1.5 }) do refuses("max_sessions", rlay.EnvSession, { max_sessions = n }) end
  for _, n in ipairs({ -1, INF, 1 << 32 }) do refuses("max_frame", rlay.EnvSession, { max_frame = n }) end
  for _, n in ipairs({ NAN, -1, "1" }) do refuses("reconnect_timeout", rlay.EnvSession, { reconnect_timeout = n }) end
  for _, names in ipairs({ "size", { 5 } }) do refuses("kwargs", rlay.EnvSession, { kwargs = names }) end
  refuses("log", rlay.EnvSession, { log = "file" })
  refuses("max_session;", rlay.EnvSession, { max_session = 4 })
  refuses("a table", rlay.EnvSession, 5)
  refuses("max_session;", rlay.Acceptor, { max_session = 4 })
end

local function make() end

local function mistake_addresses()
  for _, address in ipairs({
    "", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://localhost:-1", "tcp://localhost:70000",
    "tcp://localhost: 5", "tcp://::1:5005", "tcp://127.0.0.1:0?mtu=9", "tcp://127.0.0.1:0/path", "tcp://0.0.0.0:0",
    5, UNSHOWN,
  }) do
    expect(CODE.ADDRESS, "", rlay.ServerBackend, make, address)
  end
  expect(CODE.ADDRESS, "", rlay.ServerBackend, make)
  for _, address in ipairs({ "unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005", "ws://127.0.0.1:5005" }) do
    for _, backend in ipairs({ rlay.ServerBackend, rlay.ClientBackend }) do
      expect(CODE.ADDRESS, "use tcp:// at both ends", backend, make, address)
    end
  end
  expect(CODE.ADDRESS, "RLAY_ADDRESS", rlay.ClientBackend, make)
  local first = rlay.ServerBackend(make, "tcp://127.0.0.1:0")
  expect(CODE.ADDRESS, first.address, rlay.ServerBackend, make, first.address)
  first:close()
end

local function mistake_backends()
  refuses("a function", rlay.ServerBackend, nil, "tcp://127.0.0.1:0")
  refuses("a function", rlay.ClientBackend, {}, "tcp://127.0.0.1:1")
  local listening = rlay.ServerBackend(make, "tcp://127.0.0.1:0")
  assert(listening:poll() == nil)
  listening:close()
  listening:close()
  assert(listening:poll() == nil)
  listening:run()
  local dialing = rlay.ClientBackend(make, "tcp://127.0.0.1:1")
  assert(dialing:poll() == nil)
  dialing:close()
  dialing:run()
end

local function mistake_sessions()
  local session = rlay.EnvSession()
  session:goodbye()
  session:goodbye()
  session:finish(nil)
  assert(session:next_turn() == nil)
  session:dial():lost()
  assert(session.is_over)
end

local backend

--- Returns an environment that is wrong in one way.
local function wrong(how)
  local function raise(method)
    if how == method .. " throws" then error(method) end
  end
  local env = { metadata = { render_modes = { "ansi" } }, action_space = rlay.Discrete(2) }
  if how ~= "no space" then env.observation_space = rlay.Box(0, 1, { 2 }) end
  function env.reset()
    raise("reset")
    if how ~= "reset gives nothing" then return { 0, 0 }, {} end
  end
  function env.step()
    raise("step")
    if how == "step throws what cannot be shown" then error(UNSHOWN) end
    if how == "step gives nothing" then return end
    if how == "step cannot be sent" then return make, 0, false, false, {} end
    if how == "step closes the backend" then backend:close() end
    return { 0, 0 }, 0, false, false, {}
  end
  function env.render()
    raise("render")
    return how == "render cannot be sent" and make or "frame"
  end
  function env.close() raise("close") end
  return env
end

local function make_wrong(wanted)
  if wanted.env_id == "make throws" then error("make") end
  if wanted.env_id == "make gives a number" then return 5 end
  if wanted.env_id ~= "make gives nothing" then return wrong(wanted.env_id) end
end

if arg[1] == "--listen" then
  backend = rlay.ServerBackend(make_wrong, arg[2], { log = function(text) error("the log: " .. text) end })
  print("listening at " .. backend.address)
  io.stdout:flush()
  backend:run()
  print("closed")
else
  mistake_spaces()
  mistake_values()
  mistake_options()
  mistake_addresses()
  mistake_backends()
  mistake_sessions()
  print("all mistakes are errors")
end
