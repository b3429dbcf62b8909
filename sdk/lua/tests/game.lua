--- The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo.

package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local rlay = require("rlay")

--- The generator: PCG32 (XSH-RR).
local function generator()
  local state
  local function next_number()
    local old = state
    state = old * 6364136223846793005 + 109
    local x, r = (((old >> 18) ~ old) >> 27) & 0xffffffff, old >> 59
    return ((x >> r) | (x << ((32 - r) & 31))) & 0xffffffff
  end
  local function seed(s)
    state = 0
    next_number()
    state = state + s
    next_number()
  end
  seed(0)
  return next_number, seed
end

local function numbers(n, f)
  local all = {}
  for i = 1, n do all[i] = f(i - 1) end
  return all
end

--- Returns the info of a reset.
local function seen(seed, options) return rlay.Map({ { "seeded", seed ~= nil }, { "options", options } }) end

local Drift = {
  metadata = { render_modes = { "rgb_array", "ansi" }, render_fps = 25 },
  details = { reward_threshold = 60, nondeterministic = false, max_episode_steps = 100 },
  observation_space = rlay.Dict({
    board = rlay.Box(0, 255, { 8, 8 }, "uint8"),
    dials = rlay.MultiDiscrete({ 3, 5 }),
    fuel = rlay.Discrete(32),
    lights = rlay.MultiBinary(4),
    position = rlay.Box(-math.huge, math.huge, { 2 }, "float64"),
  }),
  action_space = rlay.Discrete(3),
}
Drift.__index = Drift

function Drift.make(mode)
  if mode and mode ~= "rgb_array" and mode ~= "ansi" then error("no render mode " .. mode) end
  local env = setmetatable({ mode = mode }, Drift)
  env.next, env.seed = generator()
  return env
end

function Drift:reset(seed, options)
  if seed then self.seed(rlay.low64(seed)) end
  self.t, self.x, self.v = 0, self.next() / 2147483648 - 1, 0.0
  self.fuel = 20 + self.next() % 12
  self.board = numbers(64, function() return self.next() & 255 end)
  self:lamps()
  for _, entry in ipairs(options) do
    if entry[1] == "sleep" then require("socket").sleep(entry[2]) end
  end
  return self:observe(), seen(seed, options)
end

function Drift:step(given)
  local action = math.type(given) and given or given:value()
  if action < 0 or action > 2 then error("an action from 0 to 2, not " .. action) end
  self.t = self.t + 1
  self.v = self.v * 0.9375 + (action - 1) * 0.0625 + (self.next() / 4294967296 - 0.5) * 0.03125
  self.x = self.x + self.v
  if action ~= 1 and self.fuel > 0 then self.fuel = self.fuel - 1 end
  local cell = self.next() % 64
  self.board[cell + 1] = self.next() & 255
  self:lamps()
  local terminated = self.x > 2 or self.x < -2 or self.fuel == 0
  local far = self.x > 1 or self.x < -1
  local name = "drift – é漢🎲"
  local info = rlay.Map({ { "t", self.t }, { "speed", math.abs(self.v) }, { "far", far }, { "name", name } })
  return self:observe(), 1 - self.x * self.x, terminated, self.t >= 100, info
end

function Drift:lamps()
  self.dials = { self.t % 3, self.next() % 5 }
  local n = self.next() & 15
  self.lights = numbers(4, function(i) return n >> i & 1 end)
end

function Drift:observe()
  return rlay.Map({
    { "board", rlay.NdArray("uint8", { 8, 8 }, self.board) },
    { "dials", rlay.NdArray("int64", { 2 }, self.dials) },
    { "fuel", self.fuel },
    { "lights", rlay.NdArray("int8", { 4 }, self.lights) },
    { "position", rlay.NdArray("float64", { 2 }, { self.x, self.v }) },
  })
end

function Drift:render()
  if self.mode == "ansi" then return "t=" .. self.t end
  local pixels = {}
  for i, cell in ipairs(self.board) do table.move({ cell, 255 - cell, self.t & 255 }, 1, 3, 3 * i - 2, pixels) end
  return rlay.NdArray("uint8", { 8, 8, 3 }, pixels)
end

local CASES = {
  rlay.Box(-1, 1, { 2, 3 }),
  rlay.Box(0, 255, { 4, 5, 3 }, "uint8"),
  rlay.Box(-math.huge, math.huge, {}, "float64"),
  rlay.Discrete(5, -2),
  rlay.MultiBinary({ 2, 3 }),
  rlay.MultiDiscrete({ 3, 5, 2 }, { 0, -1, 7 }),
  rlay.Text(12, 1, "aé漢🎲 b"),
  rlay.Tuple({ rlay.Discrete(3), rlay.Box(0, 1, { 2 }, "float64") }),
  rlay.Dict({ a = rlay.Discrete(2), b = rlay.Tuple({ rlay.MultiBinary(3), rlay.Text(4) }) }),
  rlay.Sequence(rlay.Box(0, 1, { 2 })),
  rlay.Sequence(rlay.Discrete(4), true),
  rlay.Graph(rlay.Box(-1, 1, { 3 }), rlay.Discrete(4)),
  rlay.OneOf({ rlay.Discrete(3), rlay.Box(-1, 1, { 2 }) }),
  rlay.Box(-1, 1, { 3 }, "float16"),
  rlay.Box(false, true, { 2 }, "bool"),
  rlay.Box(math.mininteger, math.maxinteger, { 2 }, "int64"),
  rlay.Box({ -1, -math.huge }, { 1, 5 }),
  rlay.Graph(rlay.Box(-1, 1, { 2 }, "float64")),
}

--- Returns what an Echo observes after a reset.
local function zero(space)
  local zeros = {
    Discrete = function() return space.start end,
    MultiDiscrete = function() return rlay.NdArray(space.dtype, space.shape, space.start) end,
    Text = function() return space.charset:match(utf8.charpattern):rep(space.min_length) end,
    Tuple = function()
      return rlay.TupleValue(numbers(#space.spaces, function(i) return zero(space.spaces[i + 1]) end))
    end,
    Dict = function()
      return rlay.Map(numbers(#space.entries, function(i)
        local entry = space.entries[i + 1]
        return { entry[1], zero(entry[2]) }
      end))
    end,
    Sequence = function() return space.stack and rlay.NdArray("int64", { 0 }) or rlay.TupleValue() end,
    Graph = function()
      return rlay.GraphInstance(rlay.NdArray(space.node.dtype, { 1, table.unpack(space.node.shape) }))
    end,
    OneOf = function() return rlay.TupleValue({ rlay.Scalar("int64", 0), zero(space.spaces[1]) }) end,
  }
  if zeros[space.class] then return zeros[space.class]() end
  return rlay.NdArray(space.dtype, space.shape)
end

local function echo(case)
  local space = CASES[case + 1]
  return {
    observation_space = space,
    action_space = space,
    reset = function(_, seed, options) return zero(space), seen(seed, options) end,
    step = function(_, action) return action, 0.5, false, false, {} end,
  }
end

local function make(wanted)
  if wanted.env_id == "Echo" then return echo(wanted.kwargs.case) end
  if wanted.env_id and wanted.env_id ~= "Drift" then error("no environment named " .. wanted.env_id) end
  return Drift.make(wanted.render_mode)
end

local given = { ["--sessions"] = "1" }
for i = 1, #arg, 2 do given[arg[i]] = arg[i + 1] end
local options = { max_sessions = math.tointeger(given["--sessions"]), kwargs = { "case" }, exact_types = true }
if given["--listen"] then
  local backend = rlay.ServerBackend(make, given["--listen"], options)
  print("listening at " .. backend.address)
  io.stdout:flush()
  backend:run()
else
  rlay.ClientBackend(make, given["--dial"], options):run()
end
