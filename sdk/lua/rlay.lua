--- RLay's client for Lua 5.4 and LuaSocket: hosts environments that Gymnasium agents in Python play, over TCP.
-- The bytes follow docs/wire.md; the section numbers below are those of that page.
--
--     local rlay = require("rlay")
--
--     local function make()
--       local env = { observation_space = rlay.Box(-10, 10, { 1 }), action_space = rlay.Discrete(2) }
--       function env:reset(seed, options)
--         self.x = 0
--         return { self.x }, {}
--       end
--       function env:step(action)
--         self.x = self.x + (action == 1 and 1 or -1)
--         return { self.x }, self.x, math.abs(self.x) >= 10, false, {}
--       end
--       return env
--     end
--     rlay.ServerBackend(make, "tcp://127.0.0.1:5005"):run()
--
-- An environment is a table with `observation_space`, `action_space`, `reset(self, seed, options)`, which returns the
-- observation and the info, and `step(self, action)`, which returns observation, reward, terminated, truncated, info.
-- It may have `metadata`, `details` (`reward_threshold`, `nondeterministic`, `max_episode_steps`), `render(self)` and
-- `close(self)`. An error that a method raises arrives in Python as `rlay.EnvError`.
--
-- Values: Lua's booleans, integers, floats and strings (UTF-8) are bool, int, float and str. `rlay.None` is None,
-- `rlay.Bytes(s)` bytes, `rlay.TupleValue{1, 2}` a tuple, and so on, see the constructors below. A plain table with
-- `t[1]` is a list, any other plain table a dict in the order of its sorted keys; `rlay.Map{{key, value}, …}` keeps
-- another order.

local rlay = {}

-- ----- Errors (section 11)

--- What went wrong, as RLay counts it.
rlay.code = {
  USAGE = 1, RESET_NEEDED = 2, INVALID_ACTION = 3, CLOSED = 4, BUSY = 5, ADDRESS = 6, INCOMPATIBLE = 7, PROTOCOL = 8,
  ENV = 9, CONNECTION_LOST = 10, UNAUTHORIZED = 13,
}
local CODE = rlay.code

local Error = { __tostring = function(self) return self.message end }

--- Returns an error of RLay itself: a table with `code`, one of `rlay.code`, and `message`.
function rlay.Error(code, message) return setmetatable({ code = code, message = message }, Error) end

local function fail(code, ...) error(rlay.Error(code, string.format(...)), 0) end
local function malformed(...) fail(CODE.PROTOCOL, ...) end
local function is_error(x) return getmetatable(x) == Error end

--- Returns any value as text, also one whose own __tostring fails.
local function text_of(x)
  local ok, text = pcall(tostring, x)
  return ok and text or "a value that cannot be shown"
end

-- ----- Classes

--- Returns a class: calling it makes an object by `init`.
local function class(name, init)
  local methods = { class = name }
  methods.__index = methods
  return setmetatable(methods, { __call = function(_, ...)
    local object = setmetatable({}, methods)
    init(object, ...)
    return object
  end })
end

local function is(x, kind) return type(x) == "table" and getmetatable(x) == kind end

-- ----- Dtypes (section 4)

local DTYPES = {} -- by name and by code
for i, known in ipairs({
  { "bool", 1, "B" }, { "int8", 1, "b" }, { "int16", 2, "i2" }, { "int32", 4, "i4" }, { "int64", 8, "i8" },
  { "uint8", 1, "B" }, { "uint16", 2, "I2" }, { "uint32", 4, "I4" }, { "uint64", 8, "i8" },
  { "float16", 2, "I2" }, { "float32", 4, "f" }, { "float64", 8, "d" },
}) do
  local name, size, format = table.unpack(known)
  for big = 0, size > 1 and 1 or 0 do
    local dtype = { name = (big == 1 and ">" or "") .. name, base = name, size = size, format = format }
    dtype.code, dtype.is_big = i - 1 + 256 * big, big == 1
    dtype.is_integer = name:find("int") ~= nil
    DTYPES[dtype.name], DTYPES[dtype.code] = dtype, dtype
  end
end

local function dtype_named(name)
  local dtype = type(name) == "string" and DTYPES[name]
  if not dtype then
    fail(CODE.USAGE, "unknown dtype %s; it is one of bool, int8 to uint64, float16 to float64", text_of(name))
  end
  return dtype
end

--- Returns the 16 bits of the float16 that is nearest to `x`, ties to even.
local function to_float16(x)
  if x ~= x then return 0x7e00 end
  local sign = (x < 0 or 1 / x < 0) and 0x8000 or 0
  local size = math.abs(x)
  if size >= 65520 then return sign | 0x7c00 end
  local function round(y)
    local floor = math.floor(y)
    local rest = y - floor
    return (rest > 0.5 or (rest == 0.5 and floor % 2 == 1)) and floor + 1 or floor
  end
  if size < 2.0 ^ -14 then return sign | round(size * 2 ^ 24) end
  local exponent = (string.unpack("<i8", string.pack("<d", size)) >> 52) - 1023
  return sign | (((exponent + 15) << 10) + round((size / 2.0 ^ exponent - 1) * 1024))
end

local function from_float16(bits)
  local exponent, fraction = (bits >> 10) & 31, bits & 1023
  local sign = bits & 0x8000 ~= 0 and -1.0 or 1.0
  if exponent == 31 then return fraction ~= 0 and 0 / 0 or sign * math.huge end
  return sign * (exponent > 0 and (1 + fraction / 1024) * 2.0 ^ (exponent - 15) or fraction * 2.0 ^ -24)
end

--- Returns the little-endian bytes of one element. Integers of uint64 from 2^63 on are Lua's negative ones.
local function to_element(dtype, x)
  if dtype.base == "bool" and type(x) == "boolean" then x = x and 1 or 0 end
  if type(x) ~= "number" then fail(CODE.USAGE, "%s cannot hold %s", dtype.name, text_of(x)) end
  if dtype.base == "bool" then return x ~= 0 and "\1" or "\0" end
  if dtype.base == "float16" then return string.pack("<I2", to_float16(x)) end
  local ok, bytes = pcall(string.pack, "<" .. dtype.format, x)
  if not ok then fail(CODE.USAGE, "%s cannot hold %s", dtype.name, text_of(x)) end
  return bytes
end

local function from_element(dtype, data, at)
  local x = string.unpack("<" .. dtype.format, data, at)
  if dtype.base == "bool" then return x ~= 0 end
  return dtype.base == "float16" and from_float16(x) or x
end

--- Returns how many bytes an array takes; raises an error of `code`, PROTOCOL unless given, for too many.
local function bytes_of(shape, size, code)
  local product, is_empty = size, false
  if #shape > 64 then fail(code or CODE.PROTOCOL, "a shape of too many dimensions") end
  for _, n in ipairs(shape) do
    if n == 0 then is_empty = true
    elseif n < 0 or product > math.maxinteger // n then fail(code or CODE.PROTOCOL, "a shape of too many elements")
    else product = product * n end
  end
  return is_empty and 0 or product
end

--- Returns a number that a caller has given as an integer of at least `least`.
local function checked_integer(x, least, what)
  local n = type(x) == "number" and math.tointeger(x)
  if not n or n < least then
    local from = least > math.mininteger and (" of at least %d"):format(least) or ""
    fail(CODE.USAGE, "%s is an integer%s, not %s", what, from, text_of(x))
  end
  return n
end

--- Returns a copy of a shape that a caller has given.
local function checked_shape(given)
  if type(given) ~= "table" then fail(CODE.USAGE, "a shape is a table of sizes, not %s", text_of(given)) end
  local shape = {}
  for i, n in ipairs(given) do shape[i] = checked_integer(n, 0, "a size of a shape") end
  return shape
end

-- ----- Values (section 5)

--- Python's None, which Lua's nil cannot stand for inside of tables.
rlay.None = setmetatable({}, { __tostring = function() return "None" end })

--- bytes: `rlay.Bytes("\0\1")`; the field `bytes` is the string.
rlay.Bytes = class("Bytes", function(self, bytes) self.bytes = bytes end)

--- An int beyond 64 bits: `bytes` is its two's complement, little-endian, in as few bytes as hold it.
rlay.BigInt = class("BigInt", function(self, bytes) self.bytes = bytes end)

local function hold(self, items)
  items = items or {}
  table.move(items, 1, #items, 1, self)
end

--- A list, also one without items: `rlay.List{1, 2}`.
rlay.List = class("List", hold)

--- A tuple: `rlay.TupleValue{1, 2}`.
rlay.TupleValue = class("TupleValue", hold)

--- A dict in this order: `rlay.Map{{"speed", 1.0}, {5, "five"}}`. `map:get("speed")` finds a value, or gives nil.
rlay.Map = class("Map", hold)

function rlay.Map:get(key)
  for _, pair in ipairs(self) do
    if pair[1] == key then return pair[2] end
  end
end

--- A NumPy array in C order: `rlay.NdArray("uint8", {8, 8}, numbers)`. `numbers` is a flat table, a string of raw
-- little-endian elements, or nothing for zeros. The field `data` is that string.
rlay.NdArray = class("NdArray", function(self, dtype, shape, numbers)
  local known = dtype_named(dtype)
  shape = checked_shape(shape)
  local length = bytes_of(shape, known.size, CODE.USAGE)
  local data = numbers or ("\0"):rep(length)
  if type(data) == "table" then
    local parts = {}
    for i, x in ipairs(data) do parts[i] = to_element(known, x) end
    data = table.concat(parts)
  end
  if type(data) ~= "string" then fail(CODE.USAGE, "the elements of an array are a table, not %s", text_of(data)) end
  if #data ~= length then
    fail(CODE.USAGE, "%d elements for an array of shape {%s}", #data // known.size, table.concat(shape, ", "))
  end
  self.dtype, self.shape, self.data = dtype, shape, data
end)

--- Returns all elements in a flat table.
function rlay.NdArray:numbers()
  local known, numbers = DTYPES[self.dtype], {}
  for i = 1, #self.data // known.size do numbers[i] = from_element(known, self.data, (i - 1) * known.size + 1) end
  return numbers
end

--- Returns one element; indices begin at 1, as in Lua.
function rlay.NdArray:at(...)
  local place, index = 0, { ... }
  for axis, n in ipairs(self.shape) do
    local i = index[axis] or 0
    if i < 1 or i > n then error("no element there in this array", 2) end
    place = place * n + i - 1
  end
  local known = DTYPES[self.dtype]
  return from_element(known, self.data, place * known.size + 1)
end

--- A NumPy scalar: `rlay.Scalar("float32", 1.5)`. The field `data` is its raw element.
rlay.Scalar = class("Scalar", function(self, dtype, x, data)
  self.dtype, self.data = dtype, data or to_element(dtype_named(dtype), x)
end)

--- Returns the number, or the boolean.
function rlay.Scalar:value() return from_element(DTYPES[self.dtype], self.data, 1) end
rlay.Scalar.__tostring = function(self) return tostring(self:value()) end

--- Gymnasium's GraphInstance: an NdArray of nodes, then edges and edge links, or nothing for both.
rlay.GraphInstance = class("GraphInstance", function(self, nodes, edges, edge_links)
  self.nodes, self.edges, self.edge_links = nodes, edges or rlay.None, edge_links or rlay.None
end)

--- A Python object that no value can hold: the name of its type and its repr, for people to read.
rlay.Opaque = class("Opaque", function(self, type_name, repr) self.type_name, self.repr = type_name, repr end)

--- Returns the low 64 bits of an integer or a BigInt, such as a seed.
function rlay.low64(x)
  if math.type(x) == "integer" then return x end
  local fill = x.bytes:byte(-1) >= 128 and "\255" or "\0"
  return (string.unpack("<i8", x.bytes .. fill:rep(8)))
end

--- Returns `value` with Scalars as numbers, and Maps with texts as keys as plain tables, also inside of others.
function rlay.plain(value)
  if is(value, rlay.Scalar) then return value:value() end
  if is(value, rlay.List) or is(value, rlay.TupleValue) then
    local items = getmetatable(value)()
    for i, item in ipairs(value) do items[i] = rlay.plain(item) end
    return items
  end
  if is(value, rlay.Map) then
    local named = {}
    for _, pair in ipairs(value) do
      if type(pair[1]) ~= "string" then return value end
      if pair[2] ~= rlay.None then named[pair[1]] = rlay.plain(pair[2]) end
    end
    return named
  end
  return value
end

local function is_plain(x) return type(x) == "table" and getmetatable(x) == nil end

--- Returns the keys and values of a dict, or nil for what is none.
local function entries_of(x)
  if is(x, rlay.Map) then return x end
  if not is_plain(x) or x[1] ~= nil then return nil end
  local entries = {}
  for key, value in pairs(x) do entries[#entries + 1] = { key, value } end
  table.sort(entries, function(a, b)
    if type(a[1]) == type(b[1]) and type(a[1]) ~= "boolean" then return a[1] < b[1] end
    return tostring(a[1]) < tostring(b[1])
  end)
  return entries
end

-- ----- Spaces (section 6)

local SPACES = {}

local function space_class(name, init)
  local made = class(name, init)
  SPACES[made] = true
  return made
end

local function is_space(x) return type(x) == "table" and SPACES[getmetatable(x)] or false end

local function checked_space(x)
  if not is_space(x) then fail(CODE.USAGE, "%s is no space", text_of(x)) end
  return x
end

local function checked_spaces(given)
  if type(given) ~= "table" or is_space(given) then
    fail(CODE.USAGE, "a table of spaces is needed, not %s", text_of(given))
  end
  for _, space in ipairs(given) do checked_space(space) end
  return given
end

local function shape_of(nested)
  local shape = {}
  while type(nested) == "table" do
    shape[#shape + 1] = #nested
    nested = nested[1]
  end
  return shape
end

local function flat(nested, numbers)
  numbers = numbers or {}
  if type(nested) ~= "table" then fail(CODE.USAGE, "a table of numbers is needed, not %s", text_of(nested)) end
  for _, x in ipairs(nested) do
    if type(x) == "table" then flat(x, numbers) else numbers[#numbers + 1] = x end
  end
  return numbers
end

local function shape_of_space(given, size)
  local shape = checked_shape(given)
  if bytes_of(shape, size, CODE.USAGE) > 1 << 40 then fail(CODE.USAGE, "a space of more than 2^40 bytes") end
  return shape
end

--- Returns one side of a Box: the elements, whether each limits anything, and whether they are the same for all.
local function bound_of(given, dtype, shape, is_low)
  if type(given) == "table" and given.values then return given end
  if given == nil then fail(CODE.USAGE, "a Box without %s bound", is_low and "a low" or "a high") end
  local numbers = type(given) == "table" and flat(given) or { given }
  if type(given) == "table" and #numbers ~= bytes_of(shape, 1) then
    fail(CODE.USAGE, "bounds that do not fit the shape")
  end
  local values, bounded = {}, {}
  for i, x in ipairs(numbers) do
    if x ~= x or x == (is_low and math.huge or -math.huge) then
      fail(CODE.USAGE, "%s is no %s bound", text_of(x), is_low and "low" or "high")
    end
    local is_bound = type(x) ~= "number" or (is_low and x > -math.huge or not is_low and x < math.huge)
    bounded[i] = is_bound and "\1" or "\0"
    if dtype.is_integer and (x == math.huge or x == -math.huge) then
      -- As Gymnasium does: an integer Box without a bound stores the limit of its dtype.
      local bits = 8 * dtype.size
      local lowest = dtype.base:sub(1, 1) == "i" and -(1 << (bits - 1)) or 0
      x = is_low and lowest or lowest - 1 + (bits < 64 and 1 << bits or 0)
    end
    values[i] = to_element(dtype, x)
  end
  if #numbers == 0 then return bound_of(0, dtype, shape, is_low) end
  local is_uniform = true
  for i = 2, #numbers do is_uniform = is_uniform and values[i] == values[1] and bounded[i] == bounded[1] end
  if is_uniform then return { is_uniform = true, values = values[1], bounded = bounded[1] } end
  return { is_uniform = false, values = table.concat(values), bounded = table.concat(bounded) }
end

--- Refuses a low bound above the high one.
local function check_order(dtype, low, high)
  local size = dtype.size
  local function at(bound, i) return from_element(dtype, bound.values, bound.is_uniform and 1 or 1 + i * size) end
  for i = 0, math.max(#low.values, #high.values) // size - 1 do
    local least, most = at(low, i), at(high, i)
    if dtype.base == "bool" then least, most = least and 1 or 0, most and 1 or 0 end
    local is_below = most < least
    if dtype.base == "uint64" then is_below = math.ult(most, least) end
    if is_below then fail(CODE.USAGE, "a Box whose low bound, %s, is above the high one, %s", least, most) end
  end
end

--- Arrays between two bounds: `rlay.Box(0, 255, {8, 8, 3}, "uint8")`, float32 unless said otherwise. A bound is one
-- number for all elements, ±math.huge among them, or a table of one for each.
rlay.Box = space_class("Box", function(self, low, high, shape, dtype)
  self.dtype = dtype or "float32"
  local known = dtype_named(self.dtype)
  self.shape = shape_of_space(shape or shape_of(type(low) == "table" and low or high), known.size)
  self.low, self.high = bound_of(low, known, self.shape, true), bound_of(high, known, self.shape, false)
  check_order(known, self.low, self.high)
end)

--- The integers from `start` (0) to `start + n - 1`: `rlay.Discrete(3)`. Elements are integers.
rlay.Discrete = space_class("Discrete", function(self, n, start, dtype)
  self.n, self.start = checked_integer(n, 1, "n"), checked_integer(start or 0, math.mininteger, "a start")
  self.dtype = dtype or "int64"
  local known = dtype_named(self.dtype)
  if not known.is_integer or known.is_big then fail(CODE.USAGE, "a Discrete space of %s", self.dtype) end
end)

--- Arrays of 0 and 1: `rlay.MultiBinary(4)`, `rlay.MultiBinary{2, 3}`. Elements are NdArrays of int8.
rlay.MultiBinary = space_class("MultiBinary", function(self, n)
  self.dtype, self.is_int = "int8", type(n) == "number"
  self.shape = shape_of_space(self.is_int and { n } or n, 1)
end)

--- Arrays of integers, each with its own count and start: `rlay.MultiDiscrete{3, 5}`. Elements are NdArrays.
rlay.MultiDiscrete = space_class("MultiDiscrete", function(self, nvec, start, dtype, shape)
  self.dtype, self.nvec = dtype or "int64", flat(nvec)
  self.shape = shape_of_space(shape or shape_of(nvec), 8)
  self.start = start and flat(start) or {}
  local n = bytes_of(self.shape, 1)
  for i, count in ipairs(self.nvec) do
    self.nvec[i] = checked_integer(count, 1, "a count of a MultiDiscrete")
    if not start then self.start[i] = 0 end
  end
  for i, first in ipairs(self.start) do self.start[i] = checked_integer(first, math.mininteger, "a start") end
  if #self.nvec ~= n or #self.start ~= n then fail(CODE.USAGE, "counts or starts that do not fit the shape") end
  if not dtype_named(self.dtype).is_integer then fail(CODE.USAGE, "a MultiDiscrete space of %s", self.dtype) end
end)

--- Texts of `min_length` (1) to `max_length` code points, all of them in `charset` (digits and letters).
rlay.Text = space_class("Text", function(self, max_length, min_length, charset)
  self.min_length = checked_integer(min_length or 1, 0, "the least length of a Text")
  self.max_length = checked_integer(max_length, self.min_length, "the greatest length of a Text")
  self.charset = charset or "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  if type(self.charset) ~= "string" or not utf8.len(self.charset) then
    fail(CODE.USAGE, "the charset of a Text is a string of UTF-8")
  end
end)

--- One element of each of several spaces: `rlay.Tuple{rlay.Discrete(3), rlay.Text(4)}`.
rlay.Tuple = space_class("Tuple", function(self, spaces) self.spaces = checked_spaces(spaces) end)

--- Named spaces: `rlay.Dict{{"a", rlay.Discrete(2)}, …}` in this order, or `rlay.Dict{a = …}`, by their names.
rlay.Dict = space_class("Dict", function(self, spaces)
  self.entries = entries_of(spaces) or spaces
  if type(self.entries) ~= "table" or is_space(spaces) then
    fail(CODE.USAGE, "the spaces of a Dict are a table, not %s", text_of(spaces))
  end
  local known = {}
  for _, entry in ipairs(self.entries) do
    if not is_plain(entry) then fail(CODE.USAGE, "%s is no pair of a key and a space", text_of(entry)) end
    local key, space = entry[1], entry[2]
    checked_space(space)
    if type(key) == "string" then
      if known[key] then fail(CODE.USAGE, "the key %s is there twice", key) end
      known[key] = true
    end
  end
end)

--- Any number of elements of one space; `stack`: as their batch.
rlay.Sequence = space_class("Sequence", function(self, space, stack)
  self.space, self.stack = checked_space(space), stack or false
end)

--- Graphs whose nodes are elements of one space, and edges of another (or nil for none).
rlay.Graph = space_class("Graph", function(self, node, edge)
  self.node, self.edge = checked_space(node), edge and checked_space(edge)
end)

--- An element of one of several spaces: the TupleValue of its place, counted from 0, as a Scalar of int64, and itself.
rlay.OneOf = space_class("OneOf", function(self, spaces)
  self.spaces = checked_spaces(spaces)
  if #spaces == 0 then fail(CODE.USAGE, "a OneOf of no space") end
end)

local WITH_ARRAYS = { [rlay.Box] = true, [rlay.MultiBinary] = true, [rlay.MultiDiscrete] = true }
local function has_arrays(space) return WITH_ARRAYS[getmetatable(space)] or false end

--- Returns an observation as the space has it: plain numbers become NdArrays, plain tables tuples and dicts.
local function fit(space, value)
  if has_arrays(space) then
    if is_plain(value) then return rlay.NdArray(space.dtype, space.shape, flat(value)) end
    if type(value) == "number" and #space.shape == 0 then return rlay.NdArray(space.dtype, space.shape, { value }) end
  elseif is(space, rlay.Tuple) and type(value) == "table" and #value == #space.spaces then
    local items = rlay.TupleValue()
    for i, member in ipairs(space.spaces) do items[i] = fit(member, value[i]) end
    return items
  elseif is(space, rlay.Dict) and is_plain(value) then
    local map = rlay.Map()
    for i, entry in ipairs(space.entries) do
      if value[entry[1]] == nil then return value end
      map[i] = { entry[1], fit(entry[2], value[entry[1]]) }
    end
    return map
  end
  return value
end

-- ----- Encoding (sections 2, 3 and 7)

local LEVELS, COUNT = 32, 1 << 20

--- Returns `text` in at most `most` bytes, with a mark where it was cut, and without what is no UTF-8.
local function cut(text, most)
  text, most = text_of(text), most or 16384
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  if #text <= most then return text end
  local last = most - 3
  while text:byte(last + 1) & 0xc0 == 0x80 do last = last - 1 end
  return text:sub(1, last) .. "…"
end

--- Returns text of a peer so that it can be shown: short, on one line, without control characters.
local function shown(text)
  text = cut(text, 600):gsub("[\0-\31\127]", " ")
  return (text:gsub("\xc2[\x80-\x9f]", " "):gsub("\xe2\x80[\xa8-\xae]", " "):gsub("\xe2\x81[\xa6-\xa9]", " "))
end

--- Whether a frame may have any number of such keys.
local function is_free_key(x)
  return type(x) == "string" or (math.type(x) == "integer" and x >= 0 and x < 16384)
end

local KEYS = { [rlay.BigInt] = true, [rlay.Bytes] = true, [rlay.Scalar] = true, [rlay.Opaque] = true }

--- Whether Python could have it as the key of a dict.
local function is_key(x)
  if is(x, rlay.TupleValue) then
    for _, item in ipairs(x) do
      if not is_key(item) then return false end
    end
    return true
  end
  return type(x) ~= "table" or x == rlay.None or KEYS[getmetatable(x)] or false
end

local KEY_BYTES = 256

--- Writes one frame.
local Writer = class("Writer", function(self, limit)
  self.parts, self.length, self.limit = {}, 0, limit or 1 << 26
  -- A frame may have 4096 such keys, and two large values.
  self.depth, self.count, self.keys, self.allows_opaque = LEVELS, COUNT, 2048, false
end)
rlay.Writer = Writer

function Writer:raw(bytes)
  self.length = self.length + #bytes
  if self.length > self.limit then fail(CODE.USAGE, "the answer takes more than %d bytes", self.limit) end
  self.parts[#self.parts + 1] = bytes
  return self
end

function Writer:finish() return table.concat(self.parts) end
function Writer:pack(format, ...) return self:raw(string.pack("<" .. format, ...)) end
function Writer:u8(x) return self:pack("B", x) end
function Writer:u32(x) return self:pack("I4", x) end
function Writer:u64(x) return self:pack("i8", x) end
function Writer:blob(bytes) return self:u64(#bytes):raw(bytes) end
function Writer:flag(x) return self:u8(x and 1 or 0) end
function Writer:header(kind, seq, ack, re) return self:pack("I8i8i8i8", kind, seq or 0, ack or 0, re or 0) end

function Writer:text(text)
  if not utf8.len(text) then fail(CODE.USAGE, "a string that is not UTF-8; send rlay.Bytes") end
  return self:blob(text)
end

--- Writes an optional item; nil is none.
function Writer:option(x, write)
  self:flag(x ~= nil)
  if x ~= nil then write(self, x) end
  return self
end

function Writer:list(items, write)
  self:u64(#items)
  for _, item in ipairs(items) do write(self, item) end
  return self
end

function Writer:_enter()
  if self.depth == 0 then fail(CODE.USAGE, "a value that is nested more than %d levels deep", LEVELS) end
  if self.count == 0 then fail(CODE.USAGE, "more than %d values", COUNT) end
  self.depth, self.count = self.depth - 1, self.count - 1
end

local function write_array(w, x)
  w:u32(10):u32(DTYPES[x.dtype].code):list(x.shape, w.u64):blob(x.data)
end

local function write_opaque(w, x)
  if not w.allows_opaque then fail(CODE.USAGE, "no value of RLay can hold a %s", x.type_name) end
  w:u32(13):text(cut(x.type_name)):text(cut(x.repr))
end

local function write_map(w, entries)
  w:u32(9):list(entries, function(_, pair) w:key(pair[1]):value(pair[2]) end)
end

local WRITE = {
  [rlay.Bytes] = function(w, x) w:u32(6):blob(x.bytes) end,
  [rlay.BigInt] = function(w, x) w:u32(3):blob(x.bytes) end,
  [rlay.List] = function(w, x) w:u32(7):list(x, w.value) end,
  [rlay.TupleValue] = function(w, x) w:u32(8):list(x, w.value) end,
  [rlay.Map] = write_map,
  [rlay.NdArray] = write_array,
  [rlay.Scalar] = function(w, x) w:u32(11):u32(DTYPES[x.dtype].code):raw(x.data) end,
  [rlay.GraphInstance] = function(w, x) w:u32(12):value(x.nodes):value(x.edges):value(x.edge_links) end,
  [rlay.Opaque] = write_opaque,
}

--- Writes any value. Raises an error for what cannot be sent.
function Writer:value(x)
  self:_enter()
  local kind = math.type(x) or type(x)
  if x == nil or x == rlay.None then self:u32(0)
  elseif kind == "boolean" then self:u32(1):flag(x)
  elseif kind == "integer" then self:pack("I4i8", 2, x)
  elseif kind == "float" then self:pack("I4d", 4, x)
  elseif kind == "string" then self:u32(5):text(x)
  elseif kind == "table" and WRITE[getmetatable(x)] then WRITE[getmetatable(x)](self, x)
  elseif is_plain(x) and x[1] ~= nil then self:u32(7):list(x, self.value)
  elseif is_plain(x) then write_map(self, entries_of(x))
  else write_opaque(self, rlay.Opaque(kind, text_of(x))) end
  self.depth = self.depth + 1
  return self
end

--- Writes the key of a dict or of a Dict space.
function Writer:key(key)
  local start = self.length
  self:value(key)
  if is_free_key(key) then return self end
  if not is_key(key) or (self.length - start > KEY_BYTES and not is(key, rlay.Opaque)) then
    fail(CODE.USAGE, "a key of a dict that cannot be sent; use texts")
  end
  self.keys = self.keys - 1
  if self.keys < 0 then fail(CODE.USAGE, "more than 2048 keys of dicts that are neither texts nor small integers") end
  return self
end

local function write_bound(w, bound) w:u32(bound.is_uniform and 0 or 1):raw(bound.values):raw(bound.bounded) end
local function write_entry(w, entry) w:key(entry[1]):space(entry[2]) end

local WRITE_SPACE = {
  [rlay.Box] = function(w, s)
    w:u32(0):u32(DTYPES[s.dtype].code):list(s.shape, w.u64)
    write_bound(w, s.low)
    write_bound(w, s.high)
  end,
  [rlay.Discrete] = function(w, s) w:u32(1):u32(DTYPES[s.dtype].code):u64(s.n):u64(s.start) end,
  [rlay.MultiBinary] = function(w, s) w:u32(2):list(s.shape, w.u64):flag(s.is_int) end,
  [rlay.MultiDiscrete] = function(w, s)
    w:u32(3):u32(DTYPES[s.dtype].code):list(s.shape, w.u64):list(s.nvec, w.u64):list(s.start, w.u64)
  end,
  [rlay.Text] = function(w, s) w:u32(4):u64(s.min_length):u64(s.max_length):text(s.charset) end,
  [rlay.Tuple] = function(w, s) w:u32(5):list(s.spaces, w.space) end,
  [rlay.Dict] = function(w, s) w:u32(6):list(s.entries, write_entry) end,
  [rlay.Sequence] = function(w, s) w:u32(7):flag(s.stack):space(s.space) end,
  [rlay.Graph] = function(w, s) w:u32(8):space(s.node):option(s.edge, w.space) end,
  [rlay.OneOf] = function(w, s) w:u32(9):list(s.spaces, w.space) end,
}

function Writer:space(space)
  self:_enter()
  WRITE_SPACE[getmetatable(checked_space(space))](self, space)
  self.depth = self.depth + 1
  return self
end

local function same_shape(a, b) return #a == #b and table.concat(a, ",") == table.concat(b, ",") end

local function same_key(a, b)
  if type(a) == "table" and type(b) == "table" then
    return Writer():value(a):finish() == Writer():value(b):finish()
  end
  return math.type(a) == math.type(b) and a == b
end

--- Returns the items that all rows have at one place.
local function column(rows, i)
  local items = {}
  for n, row in ipairs(rows) do items[n] = row[i] end
  return items
end

--- Writes the packed form of all rows and returns true; or returns false for rows that have none.
function rlay.pack(w, space, rows)
  if has_arrays(space) then
    local length = 0
    if space.dtype:sub(1, 1) == ">" then return false end
    for _, row in ipairs(rows) do
      local fits = is(row, rlay.NdArray) and row.dtype == space.dtype and same_shape(row.shape, space.shape)
      if not fits then return false end
      w:raw(row.data)
      length = length + #row.data
    end
    w:raw(("\0"):rep(-length % 8))
    return true
  elseif is(space, rlay.Discrete) then
    local marks = {}
    for i, row in ipairs(rows) do
      local is_int = math.type(row) == "integer"
      if not is_int and not (is(row, rlay.Scalar) and row.dtype == space.dtype) then return false end
      w:u64(is_int and row or row:value())
      marks[i] = is_int and "\0" or "\1"
    end
    w:raw(table.concat(marks)):raw(("\0"):rep(-#rows % 8))
    return true
  elseif is(space, rlay.Tuple) then
    for _, row in ipairs(rows) do
      if not is(row, rlay.TupleValue) or #row ~= #space.spaces then return false end
    end
    for i, member in ipairs(space.spaces) do
      if not rlay.pack(w, member, column(rows, i)) then return false end
    end
    return true
  elseif is(space, rlay.Dict) then
    local all = {}
    for n, row in ipairs(rows) do
      local entries = entries_of(row)
      if not entries or #entries ~= #space.entries then return false end
      all[n] = {}
      for i, entry in ipairs(entries) do
        if not same_key(entry[1], space.entries[i][1]) then return false end
        all[n][i] = entry[2]
      end
    end
    for i, entry in ipairs(space.entries) do
      if not rlay.pack(w, entry[2], column(all, i)) then return false end
    end
    return true
  end
  return false
end

--- Writes the observation of one row: packed if it is exactly what unpacking gives back.
function Writer:payload(space, observation)
  local packed = Writer(self.limit)
  if rlay.pack(packed, space, { observation }) then
    local pad = -(self.length + 16) % 64
    return self:u32(0):u64(packed.length):u32(pad):raw(("\0"):rep(pad)):raw(packed:finish())
  end
  return self:u32(1):value(observation)
end

-- ----- Decoding

--- Reads one frame or a part of one. Raises an error of code PROTOCOL for bytes that are malformed.
local Reader = class("Reader", function(self, bytes)
  self.bytes, self.at, self.depth, self.count, self.keys = bytes, 1, LEVELS, COUNT, 4096
end)
rlay.Reader = Reader

function Reader:left() return #self.bytes - self.at + 1 end

function Reader:raw(n)
  -- Numbers from 2^63 on are negative here.
  if n < 0 or n > self:left() then malformed("more bytes announced than there are") end
  local at = self.at
  self.at = at + n
  return self.bytes:sub(at, at + n - 1)
end

function Reader:unpack(format, size)
  if size > self:left() then malformed("%d bytes expected, %d left", size, self:left()) end
  local x = string.unpack("<" .. format, self.bytes, self.at)
  self.at = self.at + size
  return x
end

function Reader:u8() return self:unpack("B", 1) end
function Reader:u16() return self:unpack("I2", 2) end
function Reader:u32() return self:unpack("I4", 4) end
function Reader:u64() return self:unpack("i8", 8) end
function Reader:blob() return self:raw(self:u64()) end

function Reader:flag()
  local byte = self:u8()
  if byte > 1 then malformed("a bool is 0 or 1") end
  return byte == 1
end

function Reader:option(read)
  if self:flag() then return read(self) end
end

function Reader:text(most)
  local text = self:blob()
  if most and #text > most then malformed("a name that is too long") end
  if not utf8.len(text) then malformed("a text that is not UTF-8") end
  return text
end

--- Reads a list whose items take at least `size` bytes each. Of those that are counted, more than there may be are
--- refused before any is read.
function Reader:list(size, read, items, most)
  local n = self:u64()
  if n < 0 or n > self:left() // size then malformed("more items announced than there are bytes for") end
  if most and n > most then malformed("too many values") end
  items = items or {}
  for i = 1, n do items[i] = read(self) end
  return items
end

function Reader:zeros(n)
  if self:raw(n):find("[^\0]") then malformed("padding or reserved bytes that are not 0") end
end

function Reader:finish()
  if self:left() > 0 then malformed("%d bytes too many", self:left()) end
end

function Reader:enter()
  if self.depth == 0 then malformed("nested too deep") end
  if self.count == 0 then malformed("too many values") end
  self.depth, self.count = self.depth - 1, self.count - 1
end

function Reader:dtype() return DTYPES[self:u32()] or malformed("an unknown dtype") end
function Reader:shape() return self:list(8, self.u64) end

function Reader:elements(dtype, n)
  local data = self:raw(n)
  if dtype.base == "bool" and data:find("[^\0\1]") then malformed("a bool is 0 or 1") end
  return data
end

local function read_bigint(r)
  local bytes = r:blob()
  local last, before = bytes:byte(-1), bytes:byte(-2)
  if #bytes <= 8 or (last == 0 and before < 128) or (last == 255 and before >= 128) then
    malformed("a large integer that is not in its shortest form")
  end
  return rlay.BigInt(bytes)
end

local READ = {
  [0] = function() return rlay.None end,
  function(r) return r:flag() end,
  function(r) return r:u64() end,
  read_bigint,
  function(r) return r:unpack("d", 8) end,
  function(r) return r:text() end,
  function(r) return rlay.Bytes(r:blob()) end,
  function(r) return r:list(4, r.value, rlay.List(), r.count) end,
  function(r) return r:list(4, r.value, rlay.TupleValue(), r.count) end,
  function(r) return r:list(8, function() return { r:key(), r:value() } end, rlay.Map(), r.count) end,
  function(r)
    local dtype, shape, length = r:dtype(), r:shape(), r:u64()
    if bytes_of(shape, dtype.size) ~= length then malformed("an array whose shape does not hold its data") end
    return rlay.NdArray(dtype.name, shape, r:elements(dtype, length))
  end,
  function(r)
    local dtype = r:dtype()
    return rlay.Scalar(dtype.name, nil, r:elements(dtype, dtype.size))
  end,
  function(r) return rlay.GraphInstance(r:value(), r:value(), r:value()) end,
  function(r) return rlay.Opaque(r:text(), r:text()) end,
}

function Reader:value()
  self:enter()
  local tag = self:u32()
  if not READ[tag] then malformed("unknown value tag %d", tag) end
  local x = READ[tag](self)
  self.depth = self.depth + 1
  return x
end

function Reader:key()
  local start = self.at
  local key = self:value()
  if not is_key(key) then malformed("a key that can be none") end
  if is_free_key(key) then return key end
  if self.at - start > KEY_BYTES and not is(key, rlay.Opaque) then malformed("a key that is too long") end
  self.keys = self.keys - 1
  if self.keys < 0 then malformed("too many keys that are neither texts nor small integers") end
  return key
end

--- Reads a payload of as many rows, which ends the frame: `{packed = bytes}` or `{values = {…}}`. Where the values are
-- malformed it is `{error = …}`, for that ends the request, not the session.
function Reader:payload(rows)
  local form = self:u32()
  if form > 1 then malformed("an unknown form of a payload") end
  if form == 1 then
    local values = {}
    local ok, err = pcall(function()
      for i = 1, rows do values[i] = self:value() end
      self:finish()
    end)
    if ok then return { values = values } end
    if not is_error(err) then error(err, 0) end
    self.at = #self.bytes + 1
    return { error = err }
  end
  local length, pad = self:u64(), self:u32()
  if pad > 63 or (self.at - 1 + pad) % 64 ~= 0 then malformed("a payload at another place than a multiple of 64") end
  self:zeros(pad)
  if length ~= self:left() then malformed("a payload of another length than announced") end
  return { packed = self:raw(length) }
end

--- Reads the packed form of all rows and returns them. Raises an error of code PROTOCOL for what is malformed.
function rlay.unpack(r, space, rows)
  local items = {}
  if has_arrays(space) and space.dtype:sub(1, 1) ~= ">" then
    local dtype = DTYPES[space.dtype]
    local length = bytes_of(space.shape, dtype.size)
    for i = 1, rows do
      items[i] = rlay.NdArray(space.dtype, table.move(space.shape, 1, #space.shape, 1, {}), r:elements(dtype, length))
    end
    r:zeros(-(rows * length) % 8)
  elseif is(space, rlay.Discrete) then
    local dtype = DTYPES[space.dtype]
    for i = 1, rows do items[i] = r:u64() end
    for i = 1, rows do
      if r:flag() then
        local ok, scalar = pcall(rlay.Scalar, dtype.name, items[i])
        items[i] = ok and scalar or malformed("%s has no %d", dtype.name, items[i])
      end
    end
    r:zeros(-rows % 8)
  elseif is(space, rlay.Tuple) then
    for i = 1, rows do items[i] = rlay.TupleValue() end
    for n, member in ipairs(space.spaces) do
      for i, item in ipairs(rlay.unpack(r, member, rows)) do items[i][n] = item end
    end
  elseif is(space, rlay.Dict) then
    for i = 1, rows do items[i] = rlay.Map() end
    for n, entry in ipairs(space.entries) do
      for i, item in ipairs(rlay.unpack(r, entry[2], rows)) do items[i][n] = { entry[1], item } end
    end
  else malformed("a space that has no packed form") end
  return items
end

-- ----- Messages (section 8)

--- The kinds of frames.
rlay.kind = {
  HELLO = 0x01, CHALLENGE = 0x02, PROOF = 0x03, WELCOME = 0x04, REJECT = 0x05, GOODBYE = 0x09, ERROR = 0x0a,
  MAKE = 0x20, RESET = 0x21, STEP = 0x22, RENDER = 0x23, ATTRIBUTE = 0x24, CLOSE = 0x25, STEP_AGENTS = 0x30,
  SPEC = 0x40, RESULT = 0x41, FRAMES = 0x42, RETURNED = 0x43, CLOSED = 0x44, RESULT_AGENTS = 0x50,
}
local KIND = rlay.kind
local KIND_NAMES = {}
for name, kind in pairs(KIND) do KIND_NAMES[kind] = name end

local WIRE, HEADER, HANDSHAKE_FRAME, MAGIC = 0, 32, 65536, "RLAY"
local RESUMABLE, RESUMING = 1, 2

local function raw32(r) return r:raw(32) end
local function slots(r) return r:list(4, r.u32) end

--- Returns the keys of a dict whose keys are all texts; nil for anything else.
local function names_in(value)
  if not is(value, rlay.Map) then return nil end
  local names = {}
  for i, pair in ipairs(value) do
    if type(pair[1]) ~= "string" then return nil end
    names[i] = pair[1]
  end
  return names
end

local function read_seed(r)
  local bytes = r:blob()
  if #bytes > 4096 or bytes:byte(-1) == 0 then malformed("a seed that is too long, or has zeros at its end") end
  if #bytes < 8 or (#bytes == 8 and bytes:byte(8) < 128) then
    return (string.unpack("<i8", bytes .. ("\0"):rep(8 - #bytes)))
  end
  return rlay.BigInt(bytes:byte(-1) >= 128 and bytes .. "\0" or bytes)
end

--- Reads the bodies of what an env receives.
local BODIES = {
  [KIND.HELLO] = function(r)
    if r:raw(4) ~= MAGIC then malformed("no magic word") end
    local hello = { wire_min = r:u16(), wire_max = r:u16(), role = r:u8(), auth = r:u8() }
    if hello.role > 1 then malformed("an unknown role") end
    hello.features, hello.max_frame, hello.peer = r:u64(), r:u64(), r:text(256)
    if hello.auth == 1 then hello.nonce = r:raw(32) end
    if hello.features & RESUMING ~= 0 then hello.ticket, hello.received = r:raw(32), r:u64() end
    return hello
  end,
  [KIND.CHALLENGE] = function(r) return { nonce = r:raw(32) } end,
  [KIND.PROOF] = function(r) return { proof = r:raw(32) } end,
  [KIND.WELCOME] = function(r)
    local welcome = { wire = r:u16(), features = r:u64(), max_frame = r:u64(), peer = r:text(256) }
    welcome.proof = r:option(raw32)
    if welcome.features & RESUMABLE ~= 0 then welcome.ticket = r:raw(32) end
    if welcome.features & RESUMING ~= 0 then welcome.received = r:u64() end
    return welcome
  end,
  [KIND.REJECT] = function(r)
    return { code = r:u32(), wire_min = r:u16(), wire_max = r:u16(), message = r:text() }
  end,
  [KIND.GOODBYE] = function(r) return { code = r:u32(), message = r:text() } end,
  [KIND.ERROR] = function(r)
    local body = { code = r:u32(), fatal = r:flag(), slots = slots(r) }
    body.error_type, body.message, body.traceback = r:text(), r:text(), r:text()
    return body
  end,
  [KIND.MAKE] = function(r)
    local make = { env_id = r:option(function() return r:text(1024) end), kwargs = r:value() }
    make.render_mode = r:option(function() return r:text(256) end)
    make.slots, make.autoreset = r:u32(), r:u8()
    if make.autoreset > 2 then malformed("an unknown autoreset mode") end
    return make
  end,
  [KIND.RESET] = function(r)
    local reset = { slots = {}, seeds = {} }
    r:list(5, function()
      r:enter()
      local i = #reset.slots + 1
      reset.slots[i], reset.seeds[i] = r:u32(), r:option(read_seed) or false
      r.depth = r.depth + 1
    end, nil, r.count)
    reset.options = r:value()
    return reset
  end,
  [KIND.STEP] = function(r)
    local named = slots(r)
    return { slots = named, payload = r:payload(#named) }
  end,
  [KIND.RENDER] = function(r) return { slots = slots(r) } end,
  [KIND.ATTRIBUTE] = function(r)
    local attribute = { slots = slots(r), name = r:text(256), access = r:u8() }
    if attribute.access > 2 then malformed("an unknown access") end
    if attribute.access > 0 then attribute.values = r:list(4, r.value, nil, r.count) end
    if attribute.access == 1 and #attribute.values ~= #attribute.slots then malformed("a value for each slot") end
    if attribute.access == 2 then
      attribute.kwargs = r:value()
      if not names_in(attribute.kwargs) then malformed("keyword arguments that have no names") end
    end
    return attribute
  end,
  [KIND.CLOSE] = function(r) return { slots = slots(r) } end,
}

--- Reads a whole frame. Raises an error of code PROTOCOL for one that is malformed. What an env never receives has no
-- body.
function rlay.read_frame(frame)
  local r = Reader(frame)
  local message = { kind = r:u8() }
  r:zeros(7)
  if not KIND_NAMES[message.kind] then malformed("unknown kind of frame %d", message.kind) end
  message.seq, message.ack, message.re = r:u64(), r:u64(), r:u64()
  if BODIES[message.kind] then
    message.body = BODIES[message.kind](r)
    r:finish()
  end
  return message
end

--- Writes the bodies of frames that an env sends, and of the handshake.
rlay.write = {
  hello = function(w, x)
    w:raw(MAGIC):pack("I2I2BB", x.wire_min or WIRE, x.wire_max or WIRE, x.role or 1, x.auth)
    w:u64(x.features):u64(x.max_frame):text(x.peer):raw(x.nonce or "")
    if x.ticket then w:raw(x.ticket):u64(x.received) end
  end,
  challenge = function(w, x) w:raw(x.nonce) end,
  proof = function(w, x) w:raw(x.proof) end,
  welcome = function(w, x)
    w:pack("I2", x.wire or WIRE):u64(x.features):u64(x.max_frame):text(x.peer)
    w:option(x.proof, w.raw):raw(x.ticket or "")
    if x.received then w:u64(x.received) end
  end,
  reject = function(w, x) w:pack("I4I2I2", x.code, x.wire_min or WIRE, x.wire_max or WIRE):text(cut(x.message)) end,
  goodbye = function(w, x) w:u32(x.code):text(cut(x.message)) end,
  error = function(w, x)
    w:u32(x.code):flag(x.fatal):list(x.slots or {}, w.u32)
    w:text(cut(x.error_type or "")):text(cut(x.message)):text(cut(x.traceback or ""))
  end,
}

--- Returns a frame of the handshake, which has no numbers: `rlay.handshake_frame("hello", {…})`.
function rlay.handshake_frame(name, x)
  local w = Writer(HANDSHAKE_FRAME):header(KIND[name:upper()])
  rlay.write[name](w, x)
  return w:finish()
end

-- ----- Streams (section 1)

--- Cuts a stream of bytes into frames. Raises an error of code PROTOCOL for a length above `limit`.
local FrameReader = class("FrameReader", function(self, take)
  self.take, self.limit, self.is_closed = take, HANDSHAKE_FRAME, false
  self._parts, self._have, self._wanted, self._is_frame = {}, 0, 4, false
end)
rlay.FrameReader = FrameReader

function FrameReader:is_between_frames() return not self._is_frame and self._have == 0 end

local function foreign(first)
  if first:find("^[\x15\x16]\x03") then return "; this is a TLS peer: use tcp:// at both ends" end
  local is_http = ("GET POSTHEADPUT OPTIHTTPPRI "):find(first, 1, true)
  return is_http and "; this is an HTTP peer: check address and port" or ""
end

function FrameReader:receive(piece)
  -- Pieces are joined once there are enough, so that a large frame is copied once.
  self._parts[#self._parts + 1] = piece
  self._have = self._have + #piece
  if self._have < self._wanted then return end
  local all, at = table.concat(self._parts), 1
  while not self.is_closed and #all - at + 1 >= self._wanted do
    local whole = all:sub(at, at + self._wanted - 1)
    at = at + self._wanted
    if self._is_frame then
      self._wanted, self._is_frame = 4, false
      self.take(whole)
    else
      local length = string.unpack("<I4", whole)
      if length == 0xffffffff then self.is_closed = true
      elseif length > self.limit then
        malformed("a frame of %d bytes, where %d are the most%s", length, self.limit, foreign(whole))
      else self._wanted, self._is_frame = length, true end
    end
  end
  local rest = self.is_closed and "" or all:sub(at)
  self._parts, self._have = { rest }, #rest
end

-- ----- Tokens (section 9), with SHA-256 (FIPS 180-4)

local SHA_START, SHA_ROUNDS = {}, {}
do
  local n, primes = 2, {}
  while #primes < 64 do
    local is_prime = true
    for _, prime in ipairs(primes) do is_prime = is_prime and n % prime ~= 0 end
    if is_prime then primes[#primes + 1] = n end
    n = n + 1
  end
  local function fraction(x) return math.floor((x % 1) * 2 ^ 32) end
  for i, prime in ipairs(primes) do
    if i <= 8 then SHA_START[i] = fraction(math.sqrt(prime)) end
    SHA_ROUNDS[i] = fraction(prime ^ (1 / 3))
  end
end

--- Returns the SHA-256 of a string, 32 bytes.
function rlay.sha256(text)
  local bytes = text .. "\x80" .. ("\0"):rep(-(#text + 9) % 64) .. string.pack(">I8", 8 * #text)
  local state = table.move(SHA_START, 1, 8, 1, {})
  local function turn(x, n) return (x >> n | x << (32 - n)) & 0xffffffff end
  for block = 1, #bytes, 64 do
    local w = { string.unpack(">" .. ("I4"):rep(16), bytes, block) }
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = turn(x, 7) ~ turn(x, 18) ~ (x >> 3)
      local s1 = turn(y, 17) ~ turn(y, 19) ~ (y >> 10)
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
    end
    local a, b, c, d, e, f, g, h = table.unpack(state)
    for i = 1, 64 do
      local s1 = turn(e, 6) ~ turn(e, 11) ~ turn(e, 25)
      local t1 = h + s1 + ((e & f) ~ (~e & g)) + SHA_ROUNDS[i] + w[i]
      local s0 = turn(a, 2) ~ turn(a, 13) ~ turn(a, 22)
      local t2 = s0 + ((a & b) ~ (a & c) ~ (b & c))
      a, b, c, d, e, f, g, h = (t1 + t2) & 0xffffffff, a, b, c, (d + t1) & 0xffffffff, e, f, g
    end
    for i, x in ipairs({ a, b, c, d, e, f, g, h }) do state[i] = (state[i] + x) & 0xffffffff end
  end
  return string.pack(">" .. ("I4"):rep(8), table.unpack(state))
end

--- Returns the proof that one side, "dialer" or "listener", knows the token, for a Hello and a Challenge (whole
-- frames).
function rlay.prove(token, side, hello, challenge)
  -- The key has 32 bytes, less than a block of HMAC.
  local key = rlay.sha256(string.pack("<I8", #token) .. token) .. ("\0"):rep(32)
  local function block(fill) return (key:gsub(".", function(c) return string.char(c:byte() ~ fill) end)) end
  return rlay.sha256(block(0x5c) .. rlay.sha256(block(0x36) .. "rlay " .. side .. hello .. challenge))
end

--- Compares in a time that does not depend on where the two differ.
local function is_same(a, b)
  if not a or #a ~= #b then return false end
  local difference = 0
  for i = 1, #b do difference = difference | (a:byte(i) ~ b:byte(i)) end
  return difference == 0
end

--- Returns 32 random bytes. Replace it where there is no /dev/urandom, by ones that cannot be guessed.
function rlay.random32()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(32)
  if file then file:close() end
  if not bytes or #bytes < 32 then fail(CODE.USAGE, "this system has no /dev/urandom; replace rlay.random32") end
  return bytes
end

-- ----- Options

local SOFTWARE = "rlay-lua 0.1.0"
local HANDSHAKE_TIME, HANDSHAKES = 5, 64
-- How long a peer may take nothing although there is something for it.
local STUCK_TIME = 60

--- Returns how many characters of a text are neither white space nor control characters.
local function visible(text)
  local n = 0
  for _, c in utf8.codes(text) do
    local is_space = c <= 32 or (c >= 127 and c <= 160) or c == 0x1680 or (c >= 0x2000 and c <= 0x200a)
      or c == 0x2028 or c == 0x2029 or c == 0x202f or c == 0x205f or c == 0x3000
    if not is_space then n = n + 1 end
  end
  return n
end

local OPTIONS = { "token", "max_sessions", "max_frame", "reconnect_timeout", "kwargs", "exact_types", "log" }
local Checked = {}

--- Fills in what was not said, and refuses what makes no sense.
local function checked_options(given)
  if getmetatable(given) == Checked then return given end
  local options = setmetatable({
    token = os.getenv("RLAY_TOKEN"), max_sessions = 1, max_frame = 1 << 26, kwargs = {}, exact_types = false,
    log = function(text) io.stderr:write("rlay: ", text, "\n") end,
  }, Checked)
  if options.token == "" then options.token = nil end
  local function usage(...) fail(CODE.USAGE, ...) end
  if given ~= nil and type(given) ~= "table" then usage("the options are a table, not %s", text_of(given)) end
  local known, names = {}, table.concat(OPTIONS, ", ")
  for _, name in ipairs(OPTIONS) do known[name] = true end
  for name, value in pairs(given or {}) do
    if not known[name] then usage("there is no option %s; there are: %s", text_of(name), names) end
    options[name] = value
  end
  local token, timeout = options.token, options.reconnect_timeout
  if token and type(token) ~= "string" then usage("the token is a string") end
  if token and (not utf8.len(token) or visible(token) < 8) then
    usage("the token, of token or RLAY_TOKEN, has less than eight visible characters")
  end
  options.max_sessions = checked_integer(options.max_sessions, 1, "max_sessions")
  options.max_frame = checked_integer(options.max_frame, HANDSHAKE_FRAME, "max_frame")
  if options.max_frame > 0xfffffffe then usage("max_frame is a number of bytes from 65536 to 2^32-2") end
  if timeout and not (type(timeout) == "number" and timeout >= 0) then
    usage("reconnect_timeout is a number of seconds, not %s", text_of(timeout))
  end
  if type(options.kwargs) ~= "table" then usage("kwargs is a table of names, not %s", text_of(options.kwargs)) end
  for _, name in ipairs(options.kwargs) do
    if type(name) ~= "string" then usage("kwargs is a table of names, and %s is none", text_of(name)) end
  end
  if type(options.log) ~= "function" then usage("log is a function that takes a line") end
  return options
end

-- ----- Connections and the handshake (section 9), without sockets and timers

local EnvSession

--- One connection of a session, without a socket: `session:dial()` and `acceptor:accept()` return it. Give what arrives
-- to `receive(bytes)`, send what `take()` returns until that is nil, call `lost()` at the end. Close the socket once it
-- `is_finished` and all is sent, or `is_aborted`. `is_open`: the handshake is over; `error`: why it has failed.
local Connection = class("Connection", function(self, handshake, ...)
  self.is_finished, self.is_aborted, self.is_open = false, false, false
  self._output = {}
  self._handshake = coroutine.wrap(handshake)
  self._reader = FrameReader(function(frame) self:_frame(frame) end)
  self._handshake(self, ...)
end)

function Connection:receive(bytes)
  if self.is_finished or self.is_aborted then return end
  local ok, err = pcall(self._reader.receive, self._reader, bytes)
  if not ok then
    if not is_error(err) then error(err, 0) end
    if self.is_open then self.session:_violation(self, err) else self:abort(err) end
  end
  if self._reader.is_closed then
    local left = rlay.Error(CODE.CONNECTION_LOST, "the agent left without a goodbye")
    if self.is_open and self.session._connection == self then self.session:finish(left) end
    self:abort(left)
  end
end

function Connection:_frame(frame)
  if self.is_finished or self.is_aborted then return end
  if self.is_open then self.session:_receive(self, frame) else self._handshake(frame) end
end

--- Returns the next bytes to send, or nil.
function Connection:take() return table.remove(self._output, 1) end

--- The connection has ended without the close mark.
function Connection:lost()
  if self.is_finished or self.is_aborted then return end
  if self.is_open then self.session:_lost(self) end
  self:abort(rlay.Error(CODE.CONNECTION_LOST, "the connection was lost"))
end

--- Closes at once, and sends nothing more.
function Connection:abort(err)
  if self.is_aborted or self.is_finished then return end
  self.error, self.is_aborted = self.error or err, true
end

function Connection:_push(frame) table.insert(self._output, string.pack("<I4", #frame) .. frame) end

function Connection:_finish()
  if self.is_finished or self.is_aborted then return end
  self.is_finished = true
  table.insert(self._output, "\xff\xff\xff\xff")
end

function Connection:_open(session, their_max_frame)
  if their_max_frame < 0 then their_max_frame = math.maxinteger end -- from 2^63 on
  session._limit = session._limit or math.max(HANDSHAKE_FRAME, math.min(session.options.max_frame, their_max_frame))
  self.session, self.is_open, self._reader.limit = session, true, session._limit
end

--- Waits for the next frame of the handshake. Such frames have no numbers.
local function next_handshake_frame()
  local frame = coroutine.yield()
  if #frame < HEADER or frame:byte() > KIND.REJECT or frame:sub(2, HEADER):find("[^\0]") then
    malformed("a frame that is none of the handshake")
  end
  return frame
end

--- The dialer's handshake, for a new session or for one that has a ticket.
local function dialers_handshake(connection, session)
  local token, resumes = session.options.token, session._ticket ~= nil
  local hello = rlay.handshake_frame("hello", {
    auth = token and 1 or 0, features = RESUMABLE | (resumes and RESUMING or 0), max_frame = session.options.max_frame,
    peer = SOFTWARE, nonce = token and rlay.random32(), ticket = session._ticket, received = session._received,
  })
  connection:_push(hello)
  local frame = next_handshake_frame()
  local answer, challenge = rlay.read_frame(frame), nil
  if answer.kind == KIND.CHALLENGE and token then
    challenge = frame
    connection:_push(rlay.handshake_frame("proof", { proof = rlay.prove(token, "dialer", hello, challenge) }))
    answer = rlay.read_frame(next_handshake_frame())
  end
  local body = answer.body
  if answer.kind == KIND.REJECT then
    local is_told = body.code == CODE.BUSY or body.code == CODE.INCOMPATIBLE or body.code == CODE.UNAUTHORIZED
    local is_ended = body.code == CODE.CONNECTION_LOST and resumes
    local code = (is_told or is_ended) and body.code or CODE.PROTOCOL
    local err = rlay.Error(code, "the agent refused the connection: " .. shown(body.message))
    if is_ended then session:finish(err) end
    error(err, 0)
  end
  if answer.kind ~= KIND.WELCOME then malformed("the agent answered Hello with what it should not") end
  if body.wire ~= WIRE then malformed("the agent chose a wire number that was not offered") end
  if (body.received ~= nil) ~= resumes or (body.ticket and resumes) then
    malformed("the agent took a new session for an old one, or the other way round")
  end
  if token and not (challenge and is_same(body.proof, rlay.prove(token, "listener", hello, challenge))) then
    fail(CODE.UNAUTHORIZED, "the agent did not prove that it knows the token")
  end
  connection:_open(session, body.max_frame)
  if not resumes then session._ticket = body.ticket
  elseif not session:_is_behind(connection, body.received) then return end
  session:_go(connection, body.received or 0)
end

--- The listener's handshake: admits the dialer, or lets it resume its session.
local function listeners_handshake(connection, acceptor)
  local token = acceptor.options.token
  local hello_frame = next_handshake_frame()
  local function refuse(code, message)
    connection:_push(rlay.handshake_frame("reject", { code = code, message = message }))
    connection.error = rlay.Error(code, message)
    connection:_finish()
  end
  if #hello_frame < 42 or hello_frame:byte() ~= KIND.HELLO or hello_frame:sub(33, 36) ~= MAGIC then
    malformed("the dialer is no RLay endpoint")
  end
  local wire_min, wire_max, role, auth = string.unpack("<I2I2BB", hello_frame, 37)
  if role > 1 then malformed("an unknown role") end
  if wire_min > WIRE or wire_max < WIRE then return refuse(CODE.INCOMPATIBLE, "this host speaks wire 0") end
  if role == 1 then return refuse(CODE.INCOMPATIBLE, "both ends host an environment; one has to be an agent") end
  if auth > 1 then return refuse(CODE.INCOMPATIBLE, "an unknown kind of authentication") end
  local hello = rlay.read_frame(hello_frame).body
  if (auth == 1) ~= (token ~= nil) then
    return refuse(CODE.UNAUTHORIZED, token and "this host asks for a token" or "this host has no token")
  end
  local proof
  if token then
    local challenge = rlay.handshake_frame("challenge", { nonce = rlay.random32() })
    connection:_push(challenge)
    local answer = rlay.read_frame(next_handshake_frame())
    if answer.kind ~= KIND.PROOF then malformed("the dialer answered Challenge with what it should not") end
    if not is_same(answer.body.proof, rlay.prove(token, "dialer", hello_frame, challenge)) then
      return refuse(CODE.UNAUTHORIZED, "the token is another one")
    end
    proof = rlay.prove(token, "listener", hello_frame, challenge)
  end
  local welcome = { max_frame = acceptor.options.max_frame, peer = SOFTWARE, proof = proof }
  if hello.ticket then
    local session = acceptor:_find(hello.ticket)
    if not session then return refuse(CODE.CONNECTION_LOST, "the session has ended") end
    if not session:_is_behind(connection, hello.received) then return end
    session:_abandon()
    connection:_open(session, hello.max_frame)
    welcome.features, welcome.received = RESUMING, session._received
    connection:_push(rlay.handshake_frame("welcome", welcome))
    return session:_go(connection, hello.received)
  end
  if not acceptor:_has_room() then return refuse(CODE.BUSY, "all sessions are taken") end
  local session = EnvSession(acceptor.options)
  if hello.features & RESUMABLE ~= 0 then session._ticket = rlay.random32() end
  connection:_open(session, hello.max_frame)
  welcome.features, welcome.ticket = session._ticket and RESUMABLE or 0, session._ticket
  connection:_push(rlay.handshake_frame("welcome", welcome))
  acceptor.sessions[#acceptor.sessions + 1] = session
  session:_go(connection, 0)
end

--- Admits agents that dial: `accept()` returns the Connection for a socket; new sessions are appended to `sessions`.
local Acceptor = class("Acceptor", function(self, options)
  self.options, self.sessions = checked_options(options), {}
end)
rlay.Acceptor = Acceptor

function Acceptor:accept() return Connection(listeners_handshake, self) end

function Acceptor:_find(ticket)
  for _, session in ipairs(self.sessions) do
    if not session.is_over and session._ticket and is_same(session._ticket, ticket) then return session end
  end
end

--- Makes room where a session has not begun in the time of a handshake, or has lost its agent for the longest time.
function Acceptor:_has_room()
  local kept, idle, away = {}, nil, nil
  for _, session in ipairs(self.sessions) do
    if not session.is_over then kept[#kept + 1] = session end
  end
  self.sessions = kept
  if #kept < self.options.max_sessions then return true end
  for _, session in ipairs(kept) do
    if not session.has_begun and os.time() - session._since > HANDSHAKE_TIME then idle = session end
    if session.is_lost and (not away or session._lost_at < away._lost_at) then away = session end
  end
  if idle then idle:goodbye(CODE.BUSY, "another agent waits")
  elseif away then away:finish(rlay.Error(CODE.CONNECTION_LOST, "the agent was away when another one came")) end
  return (idle or away) ~= nil
end

-- ----- The session (sections 10, 13 and 21), without sockets and timers

--- One request of the agent: `kind` is "make" (with `make`: `env_id`, `kwargs`, `render_mode`), "reset" (`seed`,
-- `options`), "step" (`action`), "render" or "close". `reply` takes what the environment's method would return. Once
-- the session is over, replies do nothing.
local Turn = class("Turn", function(self, session, request, kind)
  self._session, self._request, self.kind, self.env = session, request, kind, session.env
end)

--- Returns whether the agent still waits for the answer.
function Turn:is_open() return self._session._turn == self end
function Turn:reply(...) self._session:_reply(self, ...) end

--- Answers that the environment failed.
function Turn:fail(message, traceback)
  local said = { code = CODE.ENV, error_type = "error", message = text_of(message), traceback = traceback }
  self._session:_answer_error(self, said)
end

--- The session of one environment with one agent, without sockets or timers: connections bring bytes (`dial()`,
-- `acceptor:accept()`), `next_turn()` gives what the agent asks for, its Turn takes the answer. `is_lost`: the
-- connection was lost, and another one may take over. `is_over`: the session has ended, because of `error` if not in
-- order.
EnvSession = class("EnvSession", function(self, options)
  self.options = checked_options(options)
  self.steps, self.has_begun, self.is_over, self.is_lost = 0, false, false, false
  self._state = "no env" -- then making, open, closing, closed
  self._was_reset, self._received, self._sent, self._acknowledged = false, 0, 0, 0
  self._kept, self._kept_bytes, self._since = {}, 0, os.time()
end)
rlay.EnvSession = EnvSession

--- Returns a new Connection, for a socket that was dialed: the session's first, or one that takes over from a lost one.
function EnvSession:dial()
  self:_abandon()
  return Connection(dialers_handshake, self)
end

--- Returns what the agent asks for, once, or nil. An agent has one request under way.
function EnvSession:next_turn()
  local turn = self._turn
  if not turn or self._is_taken then return nil end
  self._is_taken = true
  return turn
end

--- Ends the session in order; `code` is 0 or one of `rlay.code`.
function EnvSession:goodbye(code, message)
  if self.is_over then return end
  self:_send(KIND.GOODBYE, 0, rlay.write.goodbye, { code = code or 0, message = message or "" })
  self:finish(nil)
end

--- Ends the session because of `err`, nil for an end in order. Of the connection there follows the close mark alone.
function EnvSession:finish(err)
  if self.is_over then return end
  self.is_over, self.is_lost, self.error, self._turn, self._kept = true, false, err, nil, {}
  if self._connection then self._connection:_finish() end
  self._connection = nil
end

function EnvSession:_abandon()
  local old = self._connection
  self._connection = nil
  if old then old:abort(rlay.Error(CODE.CONNECTION_LOST, "another connection took over")) end
end

--- Returns whether a peer that has received so many frames can go on; ends this connection or the session if not.
function EnvSession:_is_behind(connection, peer_received)
  if math.ult(self._sent, peer_received) then
    self:finish(rlay.Error(CODE.PROTOCOL, "the agent has received a frame that was not sent"))
  elseif peer_received < self._sent and not (self._kept[1] and self._kept[1].seq <= peer_received + 1) then
    -- Numbers below one that was acknowledged are of a handshake that a later one has overtaken.
    if peer_received < self._acknowledged then connection:abort(rlay.Error(CODE.PROTOCOL, "an old handshake"))
    else self:finish(rlay.Error(CODE.CONNECTION_LOST, "more was lost with the connection than was kept")) end
  else return true end
  connection:abort(self.error)
  return false
end

--- Goes on over a connection whose other end has received so many frames.
function EnvSession:_go(connection, peer_received)
  if self.is_over then return connection:abort(rlay.Error(CODE.CLOSED, "the session is over")) end
  self._connection, self.is_lost = connection, false
  self:_acknowledge(peer_received)
  for _, kept in ipairs(self._kept) do connection:_push(kept.frame) end
end

function EnvSession:_lost(connection)
  if connection ~= self._connection then return end
  self._connection = nil
  if not self._ticket then return self:finish(rlay.Error(CODE.CONNECTION_LOST, "the connection was lost")) end
  self.is_lost, self._lost_at = true, os.time()
end

function EnvSession:_violation(connection, err)
  if connection ~= self._connection then return end
  self:_send(KIND.ERROR, 0, rlay.write.error, { code = CODE.PROTOCOL, fatal = true, message = err.message })
  self:finish(err)
end

function EnvSession:_acknowledge(seq)
  self._acknowledged = math.max(self._acknowledged, seq)
  while self._kept[1] and self._kept[1].seq <= self._acknowledged do
    self._kept_bytes = self._kept_bytes - #table.remove(self._kept, 1).frame
  end
end

function EnvSession:_send(kind, re, write, ...)
  local w = Writer(self._limit or HANDSHAKE_FRAME):header(kind, self._sent + 1, self._received, re)
  write(w, ...)
  local frame = w:finish()
  self._sent = self._sent + 1
  if self._ticket then
    -- An agent that acknowledges nothing is not to fill the memory.
    if #self._kept >= 2048 or self._kept_bytes + #frame > self._limit + HANDSHAKE_FRAME then
      self._kept, self._kept_bytes = {}, 0
    end
    table.insert(self._kept, { seq = self._sent, frame = frame })
    self._kept_bytes = self._kept_bytes + #frame
  end
  if self._connection then self._connection:_push(frame) end
end

function EnvSession:_receive(connection, frame)
  if connection ~= self._connection then return end
  local message = rlay.read_frame(frame)
  local kind, body = message.kind, message.body
  if message.seq ~= self._received + 1 then malformed("frame %d behind frame %d", message.seq, self._received) end
  if math.ult(self._sent, message.ack) or math.ult(self._sent, message.re) then
    malformed("an acknowledgement of what was not sent")
  end
  self._received = message.seq
  self:_acknowledge(math.max(message.ack, message.re))
  if kind == KIND.GOODBYE or (kind == KIND.ERROR and body.fatal) then
    local err = rlay.Error(body.code, "the agent ended the session: " .. shown(body.message))
    return self:finish(body.code ~= 0 and err or nil)
  end
  local code, why = self:_refusal(kind, body)
  if code then return self:_send(KIND.ERROR, message.seq, rlay.write.error, { code = code, message = why }) end
  self:_request(kind, message.seq, body)
end

local REQUESTS = {
  [KIND.RESET] = true, [KIND.STEP] = true, [KIND.RENDER] = true, [KIND.ATTRIBUTE] = true, [KIND.CLOSE] = true,
}

--- Returns why a request cannot be taken now (the tables of section 10). Raises an error for what is no request.
function EnvSession:_refusal(kind, body)
  local state = self._state
  if kind == KIND.STEP_AGENTS or kind == KIND.RESULT_AGENTS then
    return CODE.USAGE, "environments with many agents are not supported"
  elseif kind == KIND.MAKE then
    if state ~= "no env" then return CODE.USAGE, "the environment is made already; one session makes one" end
    return nil
  end
  if not REQUESTS[kind] then malformed("the agent sent %s out of turn", KIND_NAMES[kind]) end
  if state == "no env" or state == "making" then
    return CODE.USAGE, "the environment is not made yet; send Make first"
  end
  if state ~= "open" then return CODE.CLOSED, "the environment is closed" end
  if kind == KIND.CLOSE then
    if self._turn then return CODE.BUSY, "an answer is still owed; close after it" end
    return nil
  end
  if #body.slots == 0 then return CODE.USAGE, "a request for no slot" end
  for _, slot in ipairs(body.slots) do
    if slot ~= 0 then return CODE.USAGE, "there is one slot, number 0" end
  end
  if #body.slots > 1 then return CODE.USAGE, "a slot is named twice in one request" end
  if self._turn then return CODE.BUSY, "the slot still owes an answer" end
  if kind == KIND.STEP and not self._was_reset then
    return CODE.RESET_NEEDED, "Cannot call env.step() before calling env.reset()"
  end
  if kind == KIND.ATTRIBUTE then return CODE.USAGE, "this host offers no attributes" end
  if kind == KIND.RENDER and not self.render_mode then
    return CODE.USAGE, "there is no render mode; the agent did not ask for one"
  end
end

--- Makes a request that can be taken the turn, unless its content is wrong.
function EnvSession:_request(kind, seq, body)
  local given = self.options.exact_types and function(x) return x end or rlay.plain
  local turn = Turn(self, seq, KIND_NAMES[kind]:lower())
  local function refuse(code, message) self:_answer_error(turn, { code = code, message = message }) end
  self._turn = turn
  if kind == KIND.MAKE then
    self.has_begun, self._state = true, "making"
    local names = names_in(body.kwargs)
    if not names then return refuse(CODE.USAGE, "keyword arguments are a dict with names as keys") end
    local known = "," .. table.concat(self.options.kwargs, ",") .. ","
    for _, name in ipairs(names) do
      if not known:find("," .. name .. ",", 1, true) then
        local all = #self.options.kwargs > 0 and table.concat(self.options.kwargs, ", ") or "none"
        return refuse(CODE.USAGE, ("no keyword argument '%s' here; there are: %s"):format(shown(name), all))
      end
    end
    turn.make = { env_id = body.env_id, kwargs = rlay.plain(body.kwargs), render_mode = body.render_mode }
  elseif kind == KIND.RESET then
    turn.seed = body.seeds[1] or nil
    turn.options = given(body.options)
    if not self.options.exact_types and turn.options == rlay.None then turn.options = nil end
  elseif kind == KIND.CLOSE then self._state = "closing"
  elseif kind == KIND.STEP then
    local payload = body.payload
    local ok, action = pcall(function()
      if payload.error then error(payload.error, 0) end
      if payload.values then return payload.values[1] end
      local r = Reader(payload.packed)
      local rows = rlay.unpack(r, self.env.action_space, 1)
      r:finish()
      return rows[1]
    end)
    if not ok then return refuse(CODE.PROTOCOL, tostring(action)) end
    turn.action = given(action)
  end
  self._is_taken = false
end

function EnvSession:_reply(turn, ...)
  if turn ~= self._turn then return end
  self:_write(turn, ...)
  if turn.kind == "reset" then self._was_reset = true end
  if turn.kind == "step" then self.steps = self.steps + 1 end
  if turn.kind == "close" then self._state = "closed" end
  self._turn = nil
end

local function write_result(w, is_first, space, observation, reward, terminated, truncated, info)
  local flags = (is_first and 1 or 0) | (terminated and 2 or 0) | (truncated and 4 or 0)
  w:pack("i8I4Bd", 1, 0, flags, reward)
  w.allows_opaque = true
  w:value(info)
  w.allows_opaque = false
  w:payload(space, observation)
end

function EnvSession:_write(turn, ...)
  local exact = self.options.exact_types and function(_, x) return x end or fit
  local kind, request = turn.kind, turn._request
  if kind == "make" then return self:_spec(turn, ...) end
  if kind == "close" then return self:_send(KIND.CLOSED, request, function(w) w:u64(0) end) end
  if kind == "render" then
    local frame = ...
    return self:_send(KIND.FRAMES, request, function(w) w:u64(1):u32(0):value(frame) end)
  end
  local observation, reward, terminated, truncated, info = ...
  if kind == "reset" then observation, info, reward, terminated, truncated = observation, reward, 0, false, false end
  if observation == nil then fail(CODE.USAGE, "%s gave no observation", kind) end
  info = info or {}
  if not entries_of(info) then fail(CODE.USAGE, "the info of %s is no dict", kind) end
  if type(reward) ~= "number" then fail(CODE.USAGE, "the reward is no number") end
  local space = self.env.observation_space
  observation = exact(space, observation)
  local result = { kind == "reset", space, observation, reward, terminated, truncated, info }
  self:_send(KIND.RESULT, request, write_result, table.unpack(result, 1, 7))
end

function EnvSession:_spec(turn, env)
  if type(env) ~= "table" or not is_space(env.observation_space) or not is_space(env.action_space) then
    fail(CODE.USAGE, "an environment has an observation_space and an action_space")
  end
  -- Gymnasium's own default, which its check_env relies on.
  local metadata = env.metadata or rlay.Map({ { "render_modes", rlay.List() } })
  if not entries_of(metadata) then fail(CODE.USAGE, "the metadata of an environment is a table with names") end
  local details = rlay.Map()
  local given = env.details or {}
  local function add(name, value) if value ~= nil then table.insert(details, { name, value }) end end
  add("reward_threshold", given.reward_threshold and given.reward_threshold + 0.0)
  add("nondeterministic", given.nondeterministic)
  add("max_episode_steps", given.max_episode_steps)
  local make = turn.make
  self:_send(KIND.SPEC, turn._request, function(w)
    w:text(make.env_id or ""):space(env.observation_space):space(env.action_space)
    w:pack("I4B", 1, 0):option(make.render_mode, w.text)
    w.allows_opaque = true
    w:value(metadata):value(details):u64(0)
  end)
  self.env, self.render_mode, self._state = env, make.render_mode, "open"
end

function EnvSession:_answer_error(turn, said)
  if turn ~= self._turn then return end
  self:_send(KIND.ERROR, turn._request, rlay.write.error, said)
  if turn.kind == "make" then self._state = "no env" end
  if turn.kind == "close" then self._state = "closed" end
  self._turn = nil
end

-- ----- Backends: sockets, timers, and the loop that asks environments

local FIRST_PAUSE, LONGEST_PAUSE, LONGEST_IDLE_PAUSE, RECONNECT_TIMEOUT = 0.02, 1, 5, 30
-- How long a handshake that has just begun keeps a step waiting, and how long the address of a name is kept.
local GREETING_TIME, LOOK_UP_PAUSE = 0.1, 30
local function longer(pause) return math.min(math.max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE) end

--- Takes an address apart.
local function parse_address(text)
  local function no(why) fail(CODE.ADDRESS, "%s: %s", shown(text), why) end
  local scheme, rest = text_of(text):match("^([a-z0-9+]+)://([^?]*)$")
  if not scheme then no("an address looks like tcp://127.0.0.1:5005") end
  if scheme ~= "tcp" then no("this client has no " .. scheme .. "://; use tcp:// at both ends") end
  local host, port = rest:match("^%[([%x:.%%]+)%]:(%d+)$")
  if not host then host, port = rest:match("^([^:%[%]]+):(%d+)$") end
  if not host or tonumber(port) > 65535 then no("a tcp address is tcp://host:port") end
  return host, math.tointeger(tonumber(port))
end

--- A socket and the connection that it serves.
local Link = class("Link", function(self, socket, connection, is_connecting, now)
  self.socket, self.connection, self.is_connecting = socket, connection, is_connecting
  self.begun_at, self.deadline = now, now + HANDSHAKE_TIME
  self.unsent, self.at = "", 0 -- a frame, and how much of it was sent
  socket:settimeout(0)
  if not is_connecting then self:configure() end
end)

--- Sends small frames at once, and notices within 18 seconds that an idle peer's machine has vanished.
function Link:configure()
  -- LuaSocket raises an error for an option that this system does not have.
  local function set(...) pcall(self.socket.setoption, self.socket, ...) end
  set("tcp-nodelay", true)
  set("keepalive", true)
  set("tcp-keepidle", 9)
  set("tcp-keepintvl", 3)
  set("tcp-keepcnt", 3)
end

function Link:getfd() return self.socket:getfd() end
function Link:dirty() return self.socket:dirty() end
function Link:wants_to_write() return self.is_connecting or self.unsent ~= "" or #self.connection._output > 0 end

function Link:close()
  if self.is_over then return end
  self.is_over = true
  self.socket:close()
  self.connection:lost()
end

--- Goes on after the attempt to connect has come to an end.
function Link:connected()
  local failure = self.socket:getoption("error")
  local near, near_port = self.socket:getsockname()
  local far, far_port = self.socket:getpeername()
  if not failure and not far then failure = "connection refused" end
  if not failure and near == far and tonumber(near_port) == tonumber(far_port) then
    -- A kernel may connect a socket to itself, where nothing listens at the port yet.
    self.socket:setoption("linger", { on = true, timeout = 0 })
    failure = "connection refused"
  end
  self.is_connecting = false
  if failure then self:fail(failure) else self:configure() end
end

function Link:fail(failure)
  self.is_refused = failure == "connection refused"
  self.connection.error = rlay.Error(CODE.CONNECTION_LOST, tostring(failure))
  self:close()
end

function Link:read()
  -- One read, so that a peer that sends for ever does not keep the others waiting.
  local bytes, why, part = self.socket:receive(65536)
  bytes = bytes or part
  if bytes and #bytes > 0 and not self.is_ending then self.connection:receive(bytes) end
  if why == "closed" or (why and why ~= "timeout") then self:close() end
end

--- Returns whether the handshake is under way, and young.
function Link:is_new(now)
  local connection = self.connection
  local is_shaking = not (self.is_over or connection.is_open or connection.is_aborted or connection.is_finished)
  return is_shaking and now < self.begun_at + GREETING_TIME
end

--- Sends what there is, as far as the socket takes it.
function Link:write(now)
  while not (self.is_over or self.is_connecting) do
    if self.unsent == "" then self.unsent, self.at = self.connection:take() or "", 0 end
    if self.unsent == "" then
      self.stuck_since = nil
      return
    end
    local last, why, partial = self.socket:send(self.unsent, self.at + 1)
    local sent = last or partial
    if sent > self.at then self.stuck_since = nil end
    self.at = sent
    if sent == #self.unsent then self.unsent = "" end
    if why == "timeout" then
      self.stuck_since = self.stuck_since or now
      if now - self.stuck_since > STUCK_TIME then self:close() end
      return
    end
    if why then self:close() end
  end
end

--- Sends what there is, and closes the socket where the connection has ended.
function Link:settle(now)
  if self.is_over then return end
  if self.is_connecting then
    if now > self.deadline then self:fail("timeout") end
    return
  end
  self:write(now)
  if self.is_over then return end
  local connection = self.connection
  if not connection.is_open and not connection.is_finished and now > self.deadline then
    connection:abort(rlay.Error(CODE.CONNECTION_LOST, "the handshake took too long"))
  end
  if connection.is_aborted then self:close()
  elseif connection.is_finished then
    if not self.is_ending then self.is_ending, self.deadline = true, now + 1 end
    if not self.is_shut and self.unsent == "" then
      self.is_shut = true
      self.socket:shutdown("send")
    end
    -- Reads what the peer still sends until it closes: closing over unread bytes resets the connection, and the peer
    -- may lose what was sent last.
    if now > self.deadline then self:close() end
  end
end

--- What both backends have in common.
local function init_backend(self, make, address, options)
  if type(make) ~= "function" then fail(CODE.USAGE, "a backend takes a function that makes an environment") end
  self._net = require("socket")
  self.options, self.address, self._make = checked_options(options), address, make
  self.host, self.port = parse_address(address)
  self._links, self._sessions, self._turns, self._said, self._texts, self._is_closed = {}, {}, {}, {}, 0, false
end

local Backend = {}

--- Logs `text` the first, tenth, hundredth… time, for peers can repeat anything.
function Backend:_log_seldom(text)
  if not self._said[text] then
    self._texts = self._texts + 1
    if self._texts > 1000 then self._said, self._texts = {}, 1 end
  end
  self._said[text] = (self._said[text] or 0) + 1
  local times = self._said[text]
  if not tostring(times):find("^10*$") then return end
  self:_log(text .. (times > 1 and (" (%d times so far)"):format(times) or ""))
end

--- Logs `text`. A log that fails does not end a session, and there is no other place to say so.
function Backend:_log(text) pcall(self.options.log, self.address .. ": " .. text) end

--- Moves bytes, and answers what can be answered; waits for at most `timeout` seconds if there is nothing to do.
function Backend:pump(timeout)
  local now = self._net.gettime()
  local away = now - (self._read_at or now)
  self:_forgive(away - 1)
  self:_exchange(timeout)
  -- Where steps or the game's own loop take long, a handshake is not to wait for the next of them. All of them together
  -- have this time, for a peer may begin one after another.
  local ends = self._net.gettime() + GREETING_TIME
  while away > GREETING_TIME and self._net.gettime() < ends and self:_is_greeting() do self:_exchange(0.01) end
  self:_settle()
  self:_stop_if_refused()
end

--- While the game or an environment runs, nothing is read, so of that time a second at most counts against peers.
function Backend:_forgive(seconds)
  if seconds <= 0 then return end
  for _, link in ipairs(self._links) do link.deadline = link.deadline + seconds end
  for _, session in ipairs(self._sessions) do
    session._since = session._since + seconds
    if session.is_lost then session._lost_at = session._lost_at + seconds end
  end
end

function Backend:_is_greeting()
  local now = self._net.gettime()
  for _, link in ipairs(self._links) do
    if link:is_new(now) then return true end
  end
end

--- Sends and receives; waits for at most `timeout` seconds.
function Backend:_exchange(timeout)
  local now = self._net.gettime()
  timeout = math.max(0, math.min(timeout, self:_tick(now) - now))
  local reads, writes = {}, {}
  if self._listener and now >= self._accept_at then reads[1] = self._listener end
  for _, link in ipairs(self._links) do
    -- Does not read from a peer that does not read, else its answers would fill the memory.
    if not link.is_connecting and (link.unsent == "" or link.is_ending) then reads[#reads + 1] = link end
    if link:wants_to_write() then writes[#writes + 1] = link end
    if link.is_ending or not link.connection.is_open then timeout = math.min(timeout, 0.2) end
  end
  if #reads + #writes == 0 then self._net.sleep(timeout) end
  local readable, writable = {}, {}
  if #reads + #writes > 0 then readable, writable = self._net.select(reads, writes, timeout) end
  for _, link in ipairs(writable) do
    if link.is_connecting then link:connected() end
    if not link.is_over and link.dialing then self._known = link.socket:getpeername() or self._known end
  end
  for _, link in ipairs(readable) do
    if link == self._listener then self:_accept(now) elseif not link.is_over then link:read() end
  end
  self:_write()
  self._read_at = self._net.gettime()
end

function Backend:_write()
  local now = self._net.gettime()
  for _, link in ipairs(self._links) do link:write(now) end
end

--- Serves the sessions, sends what they say, and forgets what has ended.
function Backend:_settle()
  self:_adopt()
  -- Deadlines are judged as soon as everything that has arrived is read, and before environments take their time.
  local now = self._net.gettime()
  self:_expire(now)
  for _, link in ipairs(self._links) do link:settle(now) end
  for _, session in ipairs(self._sessions) do self:_serve(session) end
  self:_write()
  local kept = {}
  for _, link in ipairs(self._links) do
    if link.connection.is_finished or link.connection.is_aborted then link:settle(self._net.gettime()) end
    if link.is_over then self:_left(link) else kept[#kept + 1] = link end
  end
  self._links = kept
  local remaining = {}
  for _, session in ipairs(self._sessions) do
    if session.is_over then self:_ended(session) else remaining[#remaining + 1] = session end
  end
  self._sessions = remaining
end

--- Asks the environment of a session what its agent wants.
function Backend:_serve(session)
  for turn in session.next_turn, session do
    local env = session.host_env
    if env and not env.step then
      if turn.kind == "close" then session.host_env = nil end
      table.insert(self._turns, turn)
    else
      local answers = {
        make = function()
          local made = self._make(turn.make)
          if type(made) == "table" then session.host_env = made end
          return made
        end,
        reset = function() return env:reset(turn.seed, turn.options) end,
        step = function() return env:step(turn.action) end,
        render = function()
          if not env.render then error("this environment does not render", 0) end
          return env:render()
        end,
        close = function() self:_close_env(session) end,
      }
      local function described(err) return { err, debug.traceback(text_of(err), 2) } end
      local ok, err = xpcall(function() turn:reply(answers[turn.kind]()) end, described)
      if not ok then
        self:_log_seldom("the environment failed: " .. err[2])
        if is_error(err[1]) and err[1].code == CODE.USAGE and err[1].message:find("^the answer takes") then
          session:_answer_error(turn, { code = CODE.USAGE, message = err[1].message })
        else turn:fail(err[1], err[2]) end
        if turn.kind == "make" then self:_try_to_close_env(session) end
      elseif turn.kind == "make" and session.env then self:_log("an agent joined") end
      -- What makes environments may have closed the backend.
      if turn.kind == "make" and session.is_over then self:_try_to_close_env(session) end
    end
  end
end

function Backend:_close_env(session)
  local env = session.host_env
  session.host_env = nil
  if env and not env.step then
    local turn = Turn(session, 0, "close")
    table.insert(self._turns, turn)
  elseif env and env.close then env:close() end
end

function Backend:_try_to_close_env(session)
  local ok, err = pcall(self._close_env, self, session)
  if not ok then self:_log_seldom("the environment failed: " .. text_of(err)) end
end

function Backend:_ended(session)
  self:_try_to_close_env(session)
  local why = session.error and ": " .. tostring(session.error) or ""
  if session.env then self:_log(("the agent left after %d steps%s"):format(session.steps, why))
  elseif why ~= "" and not self._is_closed then self:_log_seldom("a session ended before it began" .. why) end
  self:_note_end(session)
end

--- The poll form: returns the next Turn of an environment without a `step` method, or nil. It does not wait, but for up
-- to 0.1 s for a handshake in a game that calls it less than ten times a second.
function Backend:poll()
  self:_write() -- what was replied since
  self:pump(0)
  while #self._turns > 0 do
    local turn = table.remove(self._turns, 1)
    -- Has the environment closed although the agent does not wait for the answer.
    if turn:is_open() or turn.kind == "close" then return turn end
  end
end

--- Hosts until `close()`.
function Backend:run()
  while not self._is_closed do self:pump(1) end
end

--- Admits no agent any more, ends every session, and closes their environments.
function Backend:close()
  self._is_closed = true
  if self._listener then self._listener:close() end
  self._listener = nil
  for _, session in ipairs(self._sessions) do session:goodbye() end
  for _, link in ipairs(self._links) do
    if not link.connection.is_open then
      link.connection:abort(rlay.Error(CODE.CONNECTION_LOST, "the backend was closed"))
      if link.is_connecting then link:close() end
    end
  end
  self:_settle()
  local deadline = self._net.gettime() + 1
  while #self._links > 0 and self._net.gettime() < deadline do self:pump(0.1) end
  for _, link in ipairs(self._links) do link:close() end
end

local function with_backend(methods)
  for name, method in pairs(Backend) do methods[name] = methods[name] or method end
  return methods
end

--- Listens at `tcp://host:port` (port 0: any) for `rlay.ClientEnv`, and hosts what `make(make)` returns for each agent;
-- `make` is given `env_id`, `kwargs` and `render_mode`. From then on `address` has the real port. Other machines can
-- dial only if there is a token. Options: `token` (else RLAY_TOKEN), `max_sessions` (1), `max_frame`,
-- `reconnect_timeout` (30 s), `kwargs` (the names of keyword arguments that agents may give), `exact_types`, `log`.
rlay.ServerBackend = class("ServerBackend", function(self, make, address, options)
  init_backend(self, make, address, options)
  local host = self.host
  local is_loopback = host == "localhost" or host == "::1" or host:find("^127%.%d+%.%d+%.%d+$")
  if not is_loopback and not self.options.token then
    fail(CODE.ADDRESS, "%s: other machines can dial this address; set a token (RLAY_TOKEN, at both ends)", address)
  end
  self._acceptor = Acceptor(self.options)
  local listener, why = self._net.bind(host, self.port, self.options.max_sessions + 128)
  if not listener then fail(CODE.ADDRESS, "%s: %s", address, why) end
  listener:settimeout(0)
  self._listener, self._accept_at = listener, 0
  local _, port = listener:getsockname()
  self.address = ("tcp://%s:%d"):format(host:find(":") and "[" .. host .. "]" or host, port)
end)

function rlay.ServerBackend:_accept(now)
  local socket = self._listener:accept()
  if not socket then
    -- Perhaps there are no more descriptors; the listener would be readable at once again.
    self._accept_at = now + 0.2
    return
  end
  local handshakes = {}
  for _, link in ipairs(self._links) do
    local connection = link.connection
    local is_over = connection.is_open or connection.is_aborted or connection.is_finished
    if not is_over then handshakes[#handshakes + 1] = connection end
  end
  -- Peers that say nothing are not to take every descriptor; and LuaSocket's select raises an error for too many, or
  -- for one of a high number, of which files take some.
  local most = math.min(self.options.max_sessions + 128, self._net._SETSIZE - 16)
  local is_full = #self._links >= most
  -- An honest handshake takes milliseconds, so the oldest of many gives up its place.
  if #handshakes >= HANDSHAKES or (is_full and #handshakes > 0) then
    handshakes[1]:abort(rlay.Error(CODE.CONNECTION_LOST, "another dialer needs the place"))
  end
  if is_full then return socket:close() end
  table.insert(self._links, Link(socket, self._acceptor:accept(), false, self._net.gettime()))
end

--- Takes over the sessions that were admitted.
function rlay.ServerBackend:_adopt()
  for _, session in ipairs(self._acceptor.sessions) do
    if not session.is_hosted then
      session.is_hosted = true
      table.insert(self._sessions, session)
    end
  end
end

--- Returns when to look again.
function rlay.ServerBackend:_tick(now)
  return self._accept_at > now and self._accept_at or now + 1
end

--- Ends sessions whose agents do not come back.
function rlay.ServerBackend:_expire()
  local timeout = self.options.reconnect_timeout or RECONNECT_TIMEOUT
  for _, session in ipairs(self._sessions) do
    if session.is_lost and os.time() - session._lost_at > timeout then
      session:finish(rlay.Error(CODE.CONNECTION_LOST, "the agent did not come back"))
    end
  end
end

function rlay.ServerBackend:_left(link)
  local connection = link.connection
  if not connection.is_open and connection.error and connection.error.code ~= CODE.CONNECTION_LOST then
    self:_log_seldom("refused a peer: " .. tostring(connection.error))
  end
end

function rlay.ServerBackend:_note_end() end
function rlay.ServerBackend:_stop_if_refused() end
with_backend(rlay.ServerBackend)

--- Dials `rlay.ServerEnv` at `tcp://host:port`, and again after each session. A program that an agent has launched
-- leaves the address out. One session waits for an agent, up to `max_sessions` play. Where trying again is pointless,
-- for another token, another release or no RLay there, it dials no more, and `run`, `pump` and `poll` raise an error
-- once no session plays. To look up a name blocks, so one that was connected to is looked up every 30 s at most.
-- Options are those of ServerBackend.
rlay.ClientBackend = class("ClientBackend", function(self, make, address, options)
  local launched = os.getenv("RLAY_ADDRESS")
  address = address or launched or fail(CODE.ADDRESS, "no address to dial, and RLAY_ADDRESS is not set")
  init_backend(self, make, address, options)
  self._is_launched, self._failures, self._dial_at = address == launched, 0, 0
end)

function rlay.ClientBackend:_adopt() end
function rlay.ClientBackend:_expire() end

--- Stops once no session plays and none will: dials are refused for good, or the agent that has launched it is gone.
function rlay.ClientBackend:_stop_if_refused()
  if not self._is_refused or #self._sessions > 0 or self._is_closed then return end
  self._is_closed = true
  if self._refusal then error(self._refusal, 0) end
end

--- Dials where it is time; returns when to look again.
function rlay.ClientBackend:_tick(now)
  if self._is_closed then return now + 1 end
  local has_spare = self._is_refused
  for _, session in ipairs(self._sessions) do has_spare = has_spare or session.env == nil end
  local next_at = now + 1
  if not has_spare and #self._sessions < self.options.max_sessions then
    if now >= self._dial_at then
      local session = EnvSession(self.options)
      session.dial_at, session.pause, session.loss_pause, session.received_before = now, FIRST_PAUSE, 0, -1
      table.insert(self._sessions, session)
    else next_at = math.min(next_at, self._dial_at) end
  end
  for _, session in ipairs(self._sessions) do
    if not session.link and not session.is_over then
      if now >= session.dial_at then self:_dial(session, now) else next_at = math.min(next_at, session.dial_at) end
    end
  end
  return next_at
end

function rlay.ClientBackend:_dial(session, now)
  local socket = self._net.tcp()
  local link = Link(socket, session:dial(), true, now)
  session.link, link.dialing = link, session
  table.insert(self._links, link)
  -- A look-up of a name blocks, so what was connected to serves for a while.
  local is_known = self._known and now < self._look_up_at
  if not is_known then self._look_up_at = now + LOOK_UP_PAUSE end
  local ok, why = socket:connect(is_known and self._known or self.host, self.port)
  if ok then link:connected()
  elseif why ~= "timeout" and why ~= "Operation already in progress" then link:fail(why) end
end

--- Goes on after a connection has ended.
function rlay.ClientBackend:_left(link)
  local session, connection, now = link.dialing, link.connection, self._net.gettime()
  session.link = nil
  if session.is_over then return end
  local timeout = self.options.reconnect_timeout
  local code = connection.error and connection.error.code
  local is_pointless = code == CODE.UNAUTHORIZED or code == CODE.INCOMPATIBLE
  if connection.is_open then
    -- Connections that bring nothing but a Welcome are not made without a pause.
    session.loss_pause = session._received == session.received_before and longer(session.loss_pause) or 0
    session.received_before, session.pause = session._received, FIRST_PAUSE
    session.dial_at, session.give_up_at = now + session.loss_pause, now + (timeout or RECONNECT_TIMEOUT)
    return
  elseif session.is_lost then
    if is_pointless or (link.is_refused and not timeout) or now > session.give_up_at then
      return session:finish(connection.error)
    end
  elseif is_pointless or (code ~= CODE.CONNECTION_LOST and code ~= CODE.BUSY) then
    self._is_refused, self._refusal = true, connection.error
    return session:finish(connection.error)
  elseif self._is_launched and self._has_dialed and link.is_refused then
    self._is_refused = true
    return session:finish(nil)
  elseif session.pause > LONGEST_PAUSE / 2 then
    self:_log_seldom("no agent takes the session yet: " .. tostring(connection.error))
  end
  session.dial_at, session.pause = now + session.pause, longer(session.pause)
end

function rlay.ClientBackend:_note_end(session)
  self._has_dialed = self._has_dialed or session._received > 0
  self._failures = (session.steps > 0 or not session.error) and 0 or self._failures + 1
  local pause = math.min(FIRST_PAUSE * 2 ^ math.max(self._failures - 1, 0), LONGEST_IDLE_PAUSE)
  self._dial_at = self._net.gettime() + pause
end

with_backend(rlay.ClientBackend)

return rlay
