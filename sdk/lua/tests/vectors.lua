--- The program `vectors` of sdk/tests/GAME.md: reads lines about bytes, and answers what they mean and are written as.

package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local rlay = require("rlay")

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function unhex(text) return (text:gsub("..", function(c) return string.char(tonumber(c, 16)) end)) end

-- ----- JSON. What is made here are strings, each a piece of JSON.

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function unsigned(n)
  if n >= 0 then return ("%d"):format(n) end
  local tenth = (n >> 1) // 5
  return ("%d%d"):format(tenth, n - tenth * 10)
end

local function or_null(x, write) return x == nil and "null" or write(x) end

local function array(items, write)
  local parts = {}
  for i, item in ipairs(items) do parts[i] = write and write(item) or item end
  return "[" .. table.concat(parts, ",") .. "]"
end

--- Returns an object of these names and pieces of JSON: `object("dtype", '"u8"', …)`.
local function object(...)
  local parts, given = {}, { ... }
  for i = 1, #given, 2 do parts[#parts + 1] = quoted(given[i]) .. ":" .. given[i + 1] end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function quoted_hex(bytes) return quoted(hex(bytes)) end
local function bytes_in(text) return array({ text:byte(1, -1) }, unsigned) end

local function dtype(name)
  local big, letters, bits = name:match("^(>?)(%a+)(%d*)$")
  local short = { bool = "bool", int = "i", uint = "u", float = "f" }
  return quoted(short[letters] .. bits), tostring(big ~= "")
end

local function elements(name, shape, data)
  local short, is_big = dtype(name)
  return object("dtype", short, "big_endian", is_big, "shape", array(shape, unsigned), "data", quoted_hex(data))
end

local value

local function pair(x) return array({ x[1], x[2] }, value) end

local VALUES = {
  Bytes = function(x) return quoted_hex(x.bytes) end,
  BigInt = function(x) return quoted_hex(x.bytes) end,
  List = function(x) return array(x, value) end,
  TupleValue = function(x) return array(x, value) end,
  Map = function(x) return array(x, pair) end,
  NdArray = function(x) return elements(x.dtype, x.shape, x.data) end,
  Scalar = function(x) return elements(x.dtype, {}, x.data) end,
  GraphInstance = function(x)
    return object("nodes", value(x.nodes), "edges", value(x.edges), "edge_links", value(x.edge_links))
  end,
  Opaque = function(x) return object("type_name", quoted(x.type_name), "repr", quoted(x.repr)) end,
}
local NAMES = { TupleValue = "Tuple", Map = "Dict", NdArray = "Array", GraphInstance = "Graph" }

function value(x)
  if x == rlay.None then return '"None"' end
  local kind = math.type(x) or type(x)
  if kind == "boolean" then return object("Bool", tostring(x)) end
  if kind == "integer" then return object("Int", ("%d"):format(x)) end
  if kind == "float" then
    local bits = string.unpack("<i8", string.pack("<d", x))
    return object("Float", quoted(("%016x"):format(bits)))
  end
  if kind == "string" then return object("Str", quoted(x)) end
  return object(NAMES[x.class] or x.class, VALUES[x.class](x))
end

-- ----- Spaces, which the client never receives. The classes refuse what is malformed.

local function read_space(r)
  r:enter()
  local function bound(known, n)
    local form = r:u32()
    if form > 1 then error("unknown bound") end
    local count = form == 1 and n or 1
    local values, bounded = r:elements(known, count * known.size), r:raw(count)
    if bounded:find("[^\0\1]") then error("a bool is 0 or 1") end
    return { is_uniform = form == 0, values = values, bounded = bounded }
  end
  local function space() return read_space(r) end
  local readers = {
    [0] = function()
      local known, shape = r:dtype(), r:shape()
      -- A Box of zeros refuses the shapes that are too large.
      rlay.Box(0, 0, shape, known.name)
      local n = 1
      for _, size in ipairs(shape) do n = n * size end
      return rlay.Box(bound(known, n), bound(known, n), shape, known.name)
    end,
    function()
      local known, n = r:dtype(), r:u64()
      if n == 0 then error("a Discrete space of no integers") end
      local made = rlay.Discrete(1, r:u64(), known.name)
      made.n = n -- from 2^63 on it is negative, which callers cannot give
      return made
    end,
    function()
      local made = rlay.MultiBinary(r:shape())
      made.is_int = r:flag()
      return made
    end,
    function()
      local known, shape = r:dtype(), r:shape()
      return rlay.MultiDiscrete(r:list(8, r.u64), r:list(8, r.u64), known.name, shape)
    end,
    function()
      local min_length, max_length = r:u64(), r:u64()
      if math.ult(max_length, min_length) then error("texts whose least length is above the greatest") end
      local made = rlay.Text(0, 0, r:text())
      made.min_length, made.max_length = min_length, max_length
      return made
    end,
    function() return rlay.Tuple(r:list(4, space)) end,
    function() return rlay.Dict(r:list(8, function() return { r:key(), space() } end)) end,
    function()
      local stack = r:flag()
      return rlay.Sequence(space(), stack)
    end,
    function() return rlay.Graph(space(), r:option(space)) end,
    function() return rlay.OneOf(r:list(4, space)) end,
  }
  local tag = r:u32()
  if not readers[tag] then error("unknown space tag") end
  local made = readers[tag]()
  r.depth = r.depth + 1
  return made
end

local function bound(x, size)
  local flags = {}
  for i = 1, #x.bounded do flags[i] = tostring(x.bounded:byte(i) == 1) end
  if x.is_uniform then return object("Uniform", object("value", quoted_hex(x.values), "bounded", flags[1])) end
  return object("Each", object("values", quoted_hex(x.values), "bounded", array(flags)))
end

local space

local SPACES = {
  Box = function(x)
    local short, is_big = dtype(x.dtype)
    local bounds = { "low", bound(x.low), "high", bound(x.high) }
    return object("dtype", short, "big_endian", is_big, "shape", array(x.shape, unsigned), table.unpack(bounds))
  end,
  Discrete = function(x)
    return object("dtype", (dtype(x.dtype)), "n", unsigned(x.n), "start", ("%d"):format(x.start))
  end,
  MultiBinary = function(x) return object("shape", array(x.shape, unsigned), "n_is_int", tostring(x.is_int)) end,
  MultiDiscrete = function(x)
    local short, is_big = dtype(x.dtype)
    local numbers = { "nvec", array(x.nvec, tostring), "start", array(x.start, tostring) }
    return object("dtype", short, "big_endian", is_big, "shape", array(x.shape, unsigned), table.unpack(numbers))
  end,
  Text = function(x)
    local lengths = { "min_length", unsigned(x.min_length), "max_length", unsigned(x.max_length) }
    return object("charset", quoted(x.charset), table.unpack(lengths))
  end,
  Tuple = function(x) return array(x.spaces, space) end,
  Dict = function(x)
    return array(x.entries, function(entry) return array({ value(entry[1]), space(entry[2]) }) end)
  end,
  Sequence = function(x) return object("space", space(x.space), "stack", tostring(x.stack)) end,
  Graph = function(x) return object("node", space(x.node), "edge", or_null(x.edge, space)) end,
  OneOf = function(x) return array(x.spaces, space) end,
}

function space(x) return object(x.class, SPACES[x.class](x)) end

-- ----- Frames

local KIND = rlay.kind

local function pick(names, x)
  local given = {}
  for _, name in ipairs(names) do
    given[#given + 1] = name
    local item = x[name]
    if item == nil then given[#given + 1] = "null"
    elseif type(item) == "string" then given[#given + 1] = quoted(item)
    elseif type(item) == "boolean" then given[#given + 1] = tostring(item)
    else given[#given + 1] = unsigned(item) end
  end
  return table.unpack(given)
end

--- Returns the pieces of JSON behind the one body.
local function with(first, ...)
  local given = { pick(first[1], first[2]) }
  for _, item in ipairs({ ... }) do given[#given + 1] = item end
  return object(table.unpack(given))
end

local function write_slots(w, body) w:list(body.slots, w.u32) end

--- By kind: the JSON of the body, and how the body is written.
local FRAMES = {
  [KIND.HELLO] = function(x)
    local resume = x.ticket and object("ticket", bytes_in(x.ticket), "received", unsigned(x.received)) or "null"
    local role = quoted(({ [0] = "Agent", "Env" })[x.role])
    local names = { "wire_min", "wire_max", "auth", "features", "max_frame", "peer" }
    return with({ names, x }, "role", role, "nonce", or_null(x.nonce, bytes_in), "resume", resume), rlay.write.hello
  end,
  [KIND.CHALLENGE] = function(x) return object("nonce", bytes_in(x.nonce)), rlay.write.challenge end,
  [KIND.PROOF] = function(x) return object("proof", bytes_in(x.proof)), rlay.write.proof end,
  [KIND.WELCOME] = function(x)
    local rest = { "proof", or_null(x.proof, bytes_in), "ticket", or_null(x.ticket, bytes_in) }
    return with({ { "wire", "features", "max_frame", "peer", "received" }, x }, table.unpack(rest)), rlay.write.welcome
  end,
  [KIND.REJECT] = function(x)
    return object(pick({ "code", "wire_min", "wire_max", "message" }, x)), rlay.write.reject
  end,
  [KIND.GOODBYE] = function(x) return object(pick({ "code", "message" }, x)), rlay.write.goodbye end,
  [KIND.ERROR] = function(x)
    local failure = object(pick({ "error_type", "message", "traceback" }, x))
    return with({ { "code", "fatal" }, x }, "slots", array(x.slots, unsigned), "failure", failure), rlay.write.error
  end,
  [KIND.MAKE] = function(x)
    local mode = quoted(({ [0] = "Disabled", "NextStep", "SameStep" })[x.autoreset])
    local body = with({ { "env_id", "render_mode", "slots" }, x }, "kwargs", value(x.kwargs), "autoreset_mode", mode)
    return body, function(w)
      w:option(x.env_id, w.text):value(x.kwargs):option(x.render_mode, w.text):u32(x.slots):u8(x.autoreset)
    end
  end,
  [KIND.RESET] = function(x)
    local rows, seeds = {}, {}
    for i, slot in ipairs(x.slots) do
      local seed = x.seeds[i]
      if seed then
        local bytes = math.type(seed) and string.pack("<i8", seed) or seed.bytes
        seeds[i] = bytes:gsub("\0+$", "")
      end
      rows[i] = array({ unsigned(slot), or_null(seeds[i], quoted_hex) })
    end
    return object("rows", array(rows), "options", value(x.options)), function(w)
      w:u64(#x.slots)
      for i, slot in ipairs(x.slots) do w:u32(slot):option(seeds[i], w.blob) end
      w:value(x.options)
    end
  end,
  [KIND.STEP] = function(x)
    if x.payload.error then error(x.payload.error, 0) end
    local packed, values = x.payload.packed, x.payload.values
    local payload = packed and object("Packed", quoted_hex(packed)) or object("Values", array(values, value))
    return array(x.slots, unsigned), function(w)
      write_slots(w, x)
      if packed then
        local pad = -(w.length + 16) % 64
        w:u32(0):u64(#packed):u32(pad):raw(("\0"):rep(pad)):raw(packed)
      else
        w:u32(1)
        for _, item in ipairs(values) do w:value(item) end
      end
    end, payload
  end,
  [KIND.RENDER] = function(x) return array(x.slots, unsigned), write_slots end,
  [KIND.CLOSE] = function(x) return array(x.slots, unsigned), write_slots end,
  [KIND.ATTRIBUTE] = function(x)
    local access = '"Get"'
    if x.access == 1 then access = object("Set", array(x.values, value)) end
    if x.access == 2 then access = object("Call", array({ array(x.values, value), array(x.kwargs, pair) })) end
    return object("slots", array(x.slots, unsigned), "name", quoted(x.name), "access", access), function(w)
      write_slots(w, x)
      w:text(x.name):u8(x.access)
      if x.access > 0 then w:list(x.values, w.value) end
      if x.access == 2 then w:value(x.kwargs) end
    end
  end,
}

local function frame(bytes)
  local message = rlay.read_frame(bytes)
  if not message.body then return nil end
  local body, write, payload = FRAMES[message.kind](message.body)
  local name
  for known, kind in pairs(KIND) do
    if kind == message.kind then name = known:sub(1, 1) .. known:sub(2):lower() end
  end
  local given = { "kind", quoted(name) }
  for _, number in ipairs({ "seq", "ack", "re" }) do
    table.move({ number, unsigned(message[number]) }, 1, 2, #given + 1, given)
  end
  table.move({ "body", body, payload and "payload", payload }, 1, 4, #given + 1, given)
  local w = rlay.Writer():header(message.kind, message.seq, message.ack, message.re)
  w.allows_opaque, w.keys = true, 4096
  write(w, message.body)
  return object(table.unpack(given)), w:finish()
end

-- ----- Answers

local function ok(json, written) return "ok " .. json .. " " .. hex(written) end

local ANSWERS = {
  value = function(data)
    local r, w = rlay.Reader(unhex(data)), rlay.Writer()
    local found = r:value()
    r:finish()
    w.allows_opaque, w.keys = true, 4096
    return ok(value(found), w:value(found):finish())
  end,
  space = function(data)
    local r = rlay.Reader(unhex(data))
    local found = read_space(r)
    r:finish()
    local w = rlay.Writer()
    w.keys = 4096
    return ok(space(found), w:space(found):finish())
  end,
  payload = function(space_hex, rows, data)
    local of, r, w = read_space(rlay.Reader(unhex(space_hex))), rlay.Reader(unhex(data or "")), rlay.Writer()
    local found = rlay.unpack(r, of, math.tointeger(rows))
    r:finish()
    if not rlay.pack(w, of, found) then error("not packed again") end
    return ok(array(found, value), w:finish())
  end,
  frame = function(data)
    local json, written = frame(unhex(data))
    return json and ok(json, written) or "unread"
  end,
  stream = function(data)
    local frames = {}
    local stream = rlay.FrameReader(function(found) frames[#frames + 1] = hex(found) end)
    stream:receive(unhex(data))
    if not stream:is_between_frames() then error("a stream that ends inside of a frame") end
    return ("ok %s %s"):format(table.concat(frames, ","), stream.is_closed and "closed" or "open")
  end,
}

for line in io.lines() do
  local words = {}
  for word in line:gmatch("%S+") do words[#words + 1] = word end
  local is_ok, answer = pcall(ANSWERS[words[1]], table.unpack(words, 2))
  print(is_ok and answer or "refused " .. tostring(answer):gsub("\n", " "))
end
