## RLay's client for Godot 4: hosts environments that Gymnasium agents in Python play, over TCP, in one thread.
##
##     const RLay = preload("res://addons/rlay/rlay.gd")
##
##     class Walk:
##         extends RLay.Env
##         var x: int = 0
##
##         func _init():
##             observation_space = RLay.Box.new(-10, 10, [1])
##             action_space = RLay.Discrete.new(2)
##
##         func reset(_seed, _options):
##             x = 0
##             return [[x], {}]
##
##         func step(action):
##             x += 1 if action == 1 else -1
##             return [[x], x, abs(x) >= 10, false, {}]
##
##     func make(_wanted):
##         return Walk.new()
##
##     var host = RLay.ServerBackend.new(Callable(self, "make"), "tcp://127.0.0.1:5005")
##     # then host.start() once, and host.poll() in each frame; or host.run(), which blocks
##
## The bytes follow docs/wire.md; the section numbers below are those of that page. GDScript has no exceptions: what can
## fail says so by a text in `error` or `problem`, which is empty otherwise, and environments return a Failure.
##
## Values (section 5): null, bool, int, float, String, Array (list), Dictionary and PackedByteArray (bytes) are what
## they look like in Python. Classes below stand for the others: BigInt, TupleValue, NdArray, Scalar, GraphInstance,
## Opaque, and RawText for a text that no String can hold. Vectors, colors and packed arrays of numbers are sent as
## NumPy arrays.
extends RefCounted

## What went wrong (section 11).
enum Code {
	USAGE = 1, RESET_NEEDED = 2, INVALID_ACTION = 3, CLOSED = 4, BUSY = 5, ADDRESS = 6, INCOMPATIBLE = 7, PROTOCOL = 8,
	ENV = 9, CONNECTION_LOST = 10, UNAUTHORIZED = 13,
}

## The kinds of frames (section 8).
enum Kind {
	HELLO = 0x01, CHALLENGE = 0x02, PROOF = 0x03, WELCOME = 0x04, REJECT = 0x05, GOODBYE = 0x09, ERROR = 0x0a,
	MAKE = 0x20, RESET = 0x21, STEP = 0x22, RENDER = 0x23, ATTRIBUTE = 0x24, CLOSE = 0x25, STEP_AGENTS = 0x30,
	SPEC = 0x40, RESULT = 0x41, FRAMES = 0x42, RETURNED = 0x43, CLOSED = 0x44, RESULT_AGENTS = 0x50,
}

## What an agent may ask for (section 10).
const REQUESTS: Array = [
	Kind.MAKE, Kind.RESET, Kind.STEP, Kind.RENDER, Kind.ATTRIBUTE, Kind.CLOSE, Kind.STEP_AGENTS, Kind.RESULT_AGENTS,
]

## The tags of spaces (section 6).
enum Tag { BOX, DISCRETE, MULTI_BINARY, MULTI_DISCRETE, TEXT, TUPLE, DICT, SEQUENCE, GRAPH, ONE_OF }

const SOFTWARE: String = "rlay-godot 0.1.0"
const WIRE: int = 0
const MAGIC: int = 0x59414c52  # "RLAY"
const HEADER: int = 32
const HANDSHAKE_FRAME: int = 65536
const HANDSHAKE_TIME: int = 5000
## How long a handshake that has just begun keeps a step waiting.
const GREETING_TIME: int = 100
## How long one peer's requests are read for before the others have a turn.
const READING_TIME: int = 10
## How many accepted connections may have no session at a time.
const HANDSHAKES: int = 64
## For how many milliseconds a peer may take nothing although there is something for it.
const STUCK_TIME: int = 60000
## For how many milliseconds a socket stays open behind the close mark.
const CLOSE_TIME: int = 2000
const RESUMABLE: int = 1
const RESUMING: int = 2
const LEVELS: int = 32
const COUNT: int = 1048576
const INT64_MAX: int = 9223372036854775807
const INT64_MIN: int = -9223372036854775807 - 1
const FIRST_PAUSE: int = 20
const LONGEST_PAUSE: int = 1000
const LONGEST_IDLE_PAUSE: int = 5000
const RECONNECT_TIMEOUT: int = 30000
## Gymnasium's own metadata, of an environment that declares none.
const METADATA: Dictionary = {"render_modes": []}
const DIGITS_AND_LETTERS: String = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

## The dtypes by their codes (section 4), and their sizes in bytes.
const DTYPE_NAMES: Array = [
	"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
]
const DTYPE_SIZES: Array = [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8]


## What went wrong: returned by an environment's method in place of its answer, it arrives in Python as rlay.EnvError.
class Failure:
	## One of Code; ENV for errors of an environment.
	var code: int
	## The class of the error, such as "ValueError"; for people to read.
	var error_type: String
	var message: String
	## Where it happened, as far as Godot tells (only while a debugger is attached).
	var traceback: String = ""

	func _init(what: String, type: String = "Error", number: int = 9):
		message = what
		error_type = type
		code = number
		if number == 9:
			for frame in get_stack():
				traceback += "%s:%s in %s\n" % [frame["source"], frame["line"], frame["function"]]


## Bytes and texts.
class Bytes:
	## Returns the bytes from one place up to, and without, another; fewer where they end before it.
	static func part(bytes: PackedByteArray, from: int, end: int) -> PackedByteArray:
		var to: int = int(min(end, bytes.size()))
		if from >= to:
			return PackedByteArray()
		return bytes.slice(from, to)

	static func zeros(n: int) -> PackedByteArray:
		var bytes: PackedByteArray = PackedByteArray()
		for _i in range(n):
			bytes.append(0)
		return bytes

	## Compares in a time that does not depend on where the two differ.
	static func same(a: PackedByteArray, b: PackedByteArray) -> bool:
		if a.size() != b.size():
			return false
		var difference: int = 0
		for i in range(a.size()):
			difference |= a[i] ^ b[i]
		return difference == 0

	## Whether the bytes are well-formed UTF-8. Godot's own decoder repairs what is not.
	static func is_utf8(bytes: PackedByteArray) -> bool:
		var more: int = 0
		var lowest: int = 0x80
		var highest: int = 0xbf
		for byte in bytes:
			if more > 0:
				if byte < lowest or byte > highest:
					return false
				more -= 1
				lowest = 0x80
				highest = 0xbf
			elif byte >= 0x80:
				if byte < 0xc2 or byte > 0xf4:
					return false
				more = 1 if byte < 0xe0 else (2 if byte < 0xf0 else 3)
				if byte == 0xe0:
					lowest = 0xa0
				elif byte == 0xf0:
					lowest = 0x90
				elif byte == 0xed:
					highest = 0x9f
				elif byte == 0xf4:
					highest = 0x8f
		return more == 0

	## Returns a text in at most so many bytes of UTF-8, with a mark where it was cut.
	static func cut(text: String, most: int = 16384) -> PackedByteArray:
		var bytes: PackedByteArray = text.to_utf8_buffer()
		if bytes.size() <= most:
			return bytes
		var end: int = most - 3
		# Cuts no character in two.
		while end > 0 and (bytes[end] & 0xc0) == 0x80:
			end -= 1
		var result: PackedByteArray = part(bytes, 0, end)
		result.append_array("…".to_utf8_buffer())
		return result

	## Returns text of a peer so that it can be shown: short, on one line, without control characters.
	static func shown(text: String) -> String:
		var result: String = ""
		for i in range(min(text.length(), 600)):
			var c: int = text.unicode_at(i)
			var is_control: bool = c < 32 or (c >= 127 and c < 160)
			# They end a line, or turn the direction of text.
			var is_format: bool = (c >= 0x2028 and c <= 0x202e) or (c >= 0x2066 and c <= 0x2069)
			result += " " if is_control or is_format else text.substr(i, 1)
		return result


## Dtypes by their names; `">float32"` is the big-endian form of `"float32"` (section 4).
class Dtypes:
	## Returns the code of a dtype, or -1.
	static func code(dtype: String) -> int:
		if dtype.begins_with(">"):
			var little: int = DTYPE_NAMES.find(dtype.substr(1, dtype.length() - 1))
			return little + 256 if little >= 0 and DTYPE_SIZES[little] > 1 else -1
		return DTYPE_NAMES.find(dtype)

	## Returns the dtype of a code, or "".
	static func called(number: int) -> String:
		var little: int = number & 255
		if little >= DTYPE_NAMES.size() or (number != little and number != little + 256):
			return ""
		if number == little:
			return DTYPE_NAMES[little]
		return ">" + DTYPE_NAMES[little] if DTYPE_SIZES[little] > 1 else ""

	static func size(dtype: String) -> int:
		return DTYPE_SIZES[code(dtype) & 255]

	static func is_big(dtype: String) -> bool:
		return dtype.begins_with(">")

	static func is_integer(dtype: String) -> bool:
		var little: int = code(dtype) & 255
		return little >= 1 and little <= 8

	## Returns the product of the sizes of a shape and of its elements, or -1 for a shape that no array may have.
	static func bytes_of(shape: Array, element_size: int) -> int:
		if shape.size() > 64:
			return -1
		var product: int = element_size
		var is_empty: bool = false
		for n in shape:
			if typeof(n) != TYPE_INT or n < 0:
				return -1
			if n == 0:
				is_empty = true
			elif product > INT64_MAX / n:
				return -1
			else:
				product *= n
		return 0 if is_empty else product

	## Returns the 16 bits of the float16 that is nearest to a number, ties to even.
	static func to_float16(x: float) -> int:
		if is_nan(x):
			return 0x7e00
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.put_double(x)
		stream.seek(0)
		var bits: int = stream.get_64()
		var sign_bit: int = 0x8000 if bits < 0 else 0
		var size_of_x: float = abs(x)
		if size_of_x >= 65520.0:
			return sign_bit | 0x7c00
		if size_of_x < pow(2.0, -14):
			return sign_bit | round_to_even(size_of_x * pow(2.0, 24))
		var exponent: int = ((bits >> 52) & 2047) - 1023
		return sign_bit | (((exponent + 15) << 10) + round_to_even((size_of_x / pow(2.0, exponent) - 1.0) * 1024.0))

	static func round_to_even(y: float) -> int:
		var below: int = int(floor(y))
		var rest: float = y - below
		return below + 1 if rest > 0.5 or (rest == 0.5 and (below & 1) == 1) else below

	## Returns the number that the 16 bits of a float16 stand for.
	static func from_float16(bits: int) -> float:
		var exponent: int = (bits >> 10) & 31
		var fraction: float = bits & 1023
		var sign_of_it: float = -1.0 if (bits & 0x8000) != 0 else 1.0
		if exponent == 31:
			return NAN if fraction != 0.0 else sign_of_it * INF
		if exponent == 0:
			return sign_of_it * fraction * pow(2.0, -24)
		return sign_of_it * (1.0 + fraction / 1024.0) * pow(2.0, exponent - 15)

	## Compares two elements of one dtype, as `fetch` returns them.
	static func is_greater(a, b) -> bool:
		var is_big: bool = typeof(a) == TYPE_OBJECT
		if is_big != (typeof(b) == TYPE_OBJECT):
			return is_big
		if is_big:
			return a.low64() > b.low64()
		return (a and not b) if typeof(a) == TYPE_BOOL else a > b

	## Appends a number to the stream as an element of that dtype; returns false for one that the dtype cannot hold.
	static func put(stream: StreamPeerBuffer, dtype: String, x) -> bool:
		if typeof(x) == TYPE_OBJECT and x is Scalar:
			x = x.value()
		var number: int = code(dtype) & 255
		var is_big_int: bool = typeof(x) == TYPE_OBJECT and x is BigInt
		if not is_big_int and not typeof(x) in [TYPE_INT, TYPE_FLOAT, TYPE_BOOL]:
			return false
		if number >= 9:
			if is_big_int:
				return false
			if number == 9:
				stream.put_u16(to_float16(float(x)))
			elif number == 10:
				stream.put_float(float(x))
			else:
				stream.put_double(float(x))
			return true
		if is_big_int:
			if number != 8 or not x.is_u64():
				return false
			stream.put_64(x.low64())
			return true
		if typeof(x) == TYPE_FLOAT and (floor(x) != x or abs(x) >= 9.2e18):
			return false
		var n: int = int(x)
		if number == 0:
			stream.put_u8(1 if n != 0 else 0)
			return true
		var bits: int = 8 * DTYPE_SIZES[number]
		if bits == 64:
			if number == 8 and n < 0:
				return false
			stream.put_64(n)
			return true
		var lowest: int = -(1 << (bits - 1)) if number < 5 else 0
		if n < lowest or n >= lowest + (1 << bits):
			return false
		if bits == 8:
			stream.put_u8(n & 0xff)
		elif bits == 16:
			stream.put_u16(n & 0xffff)
		else:
			stream.put_u32(n & 0xffffffff)
		return true

	## Returns the next element of the stream: a bool, an int, a float, or a BigInt for a uint64 beyond 2^63.
	static func fetch(stream: StreamPeerBuffer, dtype: String):
		match code(dtype) & 255:
			0:
				return stream.get_u8() != 0
			1:
				return stream.get_8()
			2:
				return stream.get_16()
			3:
				return stream.get_32()
			4:
				return stream.get_64()
			5:
				return stream.get_u8()
			6:
				return stream.get_u16()
			7:
				return stream.get_u32()
			8:
				var n: int = stream.get_64()
				return n if n >= 0 else BigInt.from_u64(n)
			9:
				return from_float16(stream.get_u16())
			10:
				return stream.get_float()
		return stream.get_double()


## An int beyond 64 bits: `bytes` are its two's complement, little-endian, in as few bytes as hold it, nine at least.
class BigInt:
	var bytes: PackedByteArray

	func _init(two_complement: PackedByteArray):
		bytes = two_complement

	## Returns the BigInt of the 64 bits of a uint64 that is 2^63 or more.
	static func from_u64(bits: int):
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.put_64(bits)
		stream.put_u8(0)
		return BigInt.new(stream.data_array)

	## Returns the lowest 64 bits.
	func low64() -> int:
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.data_array = bytes
		return stream.get_64()

	func is_u64() -> bool:
		return bytes.size() == 9 and bytes[8] == 0

	func _to_string() -> String:
		return "BigInt(%s, little-endian)" % [bytes.hex_encode()]


## A text that a String cannot hold, for it has NUL or begins with U+FEFF: its UTF-8.
class RawText:
	var bytes: PackedByteArray

	func _init(utf8: PackedByteArray):
		bytes = utf8


## A Python tuple; an Array is sent as a list.
class TupleValue:
	var items: Array

	func _init(elements: Array = []):
		items = elements


## A NumPy array in C order; `data` are its bytes, little-endian whatever the dtype.
class NdArray:
	var dtype: String
	var shape: Array
	var data: PackedByteArray
	## Why it cannot be sent, or "".
	var problem: String = ""

	## Makes an array of these bytes, or of zeros without them: `NdArray.new("uint8", [64, 64, 3], image.get_data())`.
	func _init(type: String, dimensions: Array, bytes = null):
		dtype = type
		shape = dimensions
		var known: bool = Dtypes.code(type) >= 0
		var length: int = Dtypes.bytes_of(dimensions, Dtypes.size(type)) if known else -1
		if length < 0:
			problem = "no array has the dtype %s and the shape %s" % [type, dimensions]
		elif bytes == null:
			data = Bytes.zeros(length)
		elif typeof(bytes) != TYPE_PACKED_BYTE_ARRAY:
			problem = "the elements of an NdArray are a PackedByteArray; NdArray.of takes numbers"
		elif bytes.size() != length:
			problem = "%d bytes for an array of %s and shape %s, which takes %d"
			problem = problem % [bytes.size(), type, dimensions, length]
		else:
			data = bytes

	## Makes an array of numbers, which may be nested: `NdArray.of("float32", [2, 2], [[1, 2], [3, 4]])`.
	static func of(type: String, dimensions: Array, numbers):
		var flat: Array = []
		var fits: bool = Fitting.flatten(numbers, flat)
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		if Dtypes.code(type) >= 0:
			for x in flat:
				fits = fits and Dtypes.put(stream, type, x)
		var made = NdArray.new(type, dimensions, stream.data_array)
		if not fits:
			made.problem = "%s has elements that are no numbers of %s" % [str(numbers).left(200), type]
		return made

	## Returns all elements, in C order, as numbers or bools.
	func numbers() -> Array:
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.data_array = data
		var result: Array = []
		while stream.get_position() < data.size():
			result.append(Dtypes.fetch(stream, dtype))
		return result

	## Returns the element at these indices; `array.at([2, 0])` is `array[2, 0]` in Python. null if there is none.
	func at(index: Array):
		if index.size() != shape.size():
			return null
		var place: int = 0
		for axis in range(shape.size()):
			if index[axis] < 0 or index[axis] >= shape[axis]:
				return null
			place = place * shape[axis] + index[axis]
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.data_array = data
		stream.seek(place * Dtypes.size(dtype))
		return Dtypes.fetch(stream, dtype)


## A NumPy scalar: `Scalar.new("float32", 1.5)` is `np.float32(1.5)`. `data` are its bytes.
class Scalar:
	var dtype: String
	var data: PackedByteArray
	var problem: String = ""

	## Takes a number, or the element's bytes.
	func _init(type: String, content):
		dtype = type
		if typeof(content) == TYPE_PACKED_BYTE_ARRAY:
			data = content
		else:
			var stream: StreamPeerBuffer = StreamPeerBuffer.new()
			if Dtypes.code(type) < 0 or not Dtypes.put(stream, type, content):
				problem = "no scalar of %s is %s" % [type, content]
			data = stream.data_array

	## Returns the bool, int, float or BigInt.
	func value():
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.data_array = data
		return Dtypes.fetch(stream, dtype)


## Gymnasium's GraphInstance: an NdArray of nodes, then edges and edge links (NdArrays), or null for both.
class GraphInstance:
	var nodes
	var edges
	var edge_links

	func _init(of_nodes, of_edges = null, of_edge_links = null):
		nodes = of_nodes
		edges = of_edges
		edge_links = of_edge_links


## A Python object that no value can hold: the name of its type and its repr (Strings or RawTexts), for people to read.
class Opaque:
	var type_name
	var repr

	func _init(type, text):
		type_name = type
		repr = text


## The base of all spaces (section 6). `tag` says which one it is, `problem` why it is none, or "".
class Space:
	var tag: int = -1
	var problem: String = ""
	## Of Box, Discrete, MultiBinary and MultiDiscrete.
	var dtype: String = ""

	## Of Box, MultiBinary and MultiDiscrete.
	var shape: Array = []

	## Keeps the first problem, and has Godot print where the space was made.
	func _refuse(text: String) -> void:
		if problem == "":
			problem = text
			push_error("rlay: " + text)

	## Takes a shape of elements of this size.
	func _set_shape(given, size: int) -> void:
		if typeof(given) != TYPE_ARRAY:
			_refuse("a shape is an Array of ints, such as [2, 3], not %s" % [given])
			return
		shape = given
		var length: int = Dtypes.bytes_of(shape, size)
		if length < 0 or length > 1 << 40:
			_refuse("a shape is an Array of ints, which are not negative or too large, not %s" % [shape])

	## Returns a count: an int, or the bits of a BigInt from 2^63 on.
	func _counted(given, least: int, what: String) -> int:
		if typeof(given) == TYPE_OBJECT and given is BigInt and given.is_u64():
			return given.low64()
		if typeof(given) == TYPE_INT and given >= least:
			return given
		_refuse("%s is an int from %d on, not %s" % [what, least, given])
		return least

	func _check_integers() -> void:
		if not Dtypes.is_integer(dtype):
			_refuse("a space of integers cannot have the dtype %s" % [dtype])

	func _check_members(spaces: Array) -> void:
		for space in spaces:
			if not Fitting.is_space(space):
				_refuse("a member of a space is a space, such as RLay.Discrete.new(3), not %s" % [space])
			elif space.problem != "":
				_refuse(space.problem)


## One side of a Box: elements as bytes, and for each one byte that says whether it limits anything.
class Bound:
	var is_uniform: bool
	var values: PackedByteArray
	var bounded: PackedByteArray

	func _init(uniform: bool, elements: PackedByteArray, limits: PackedByteArray):
		is_uniform = uniform
		values = elements
		bounded = limits


## Arrays between two bounds: `Box.new(0, 255, [8, 8, 3], "uint8")`. A bound is one number for all elements, -INF and
## INF for none, or an Array of one for each, which then gives the shape; a vector or packed array will do. Elements are
## NdArrays of that dtype and shape.
class Box:
	extends Space
	var low: Bound
	var high: Bound

	func _init(lowest, highest, dimensions = null, type: String = "float32"):
		tag = Tag.BOX
		dtype = type
		if Dtypes.code(type) < 0:
			_refuse("unknown dtype %s; a dtype is one of %s" % [type, DTYPE_NAMES])
			return
		var bound = lowest if Fitting.is_list(lowest) else highest
		_set_shape(dimensions if dimensions != null else Fitting.shape_of(bound), Dtypes.size(type))
		low = _bound(lowest, true)
		high = _bound(highest, false)
		if problem == "" and not Fitting.is_bound(lowest) and not Fitting.is_bound(highest):
			_check_order()

	func _bound(given, is_low: bool) -> Bound:
		if Fitting.is_bound(given):
			return given
		var numbers: Array = []
		if not Fitting.flatten(given, numbers):
			_refuse("bounds are numbers, not %s" % [given])
			return Bound.new(true, PackedByteArray(), PackedByteArray())
		var is_one: bool = not Fitting.is_list(given)
		if not is_one and numbers.size() != Dtypes.bytes_of(shape, 1):
			_refuse("%d bounds for a shape of %s" % [numbers.size(), shape])
		if numbers.size() == 0:
			numbers = [0]
			is_one = true
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		var bounded: PackedByteArray = PackedByteArray()
		for x in numbers:
			var is_infinite: bool = typeof(x) == TYPE_FLOAT and is_inf(x)
			if typeof(x) == TYPE_FLOAT and (is_nan(x) or (is_infinite and (x < 0) != is_low)):
				_refuse("%s is no %s bound" % [x, "low" if is_low else "high"])
			bounded.append(0 if is_infinite else 1)
			if not Dtypes.put(stream, dtype, _limit(is_low) if is_infinite and Dtypes.is_integer(dtype) else x):
				_refuse("a bound of %s, which %s cannot hold" % [x, dtype])
		var size: int = Dtypes.size(dtype)
		var values: PackedByteArray = stream.data_array
		var first: PackedByteArray = Bytes.part(values, 0, size)
		for i in range(numbers.size()):
			is_one = is_one or numbers.size() == 1
			if not is_one and (bounded[i] != bounded[0] or Bytes.part(values, i * size, (i + 1) * size) != first):
				return Bound.new(false, values, bounded)
		return Bound.new(true, first, Bytes.part(bounded, 0, 1))

	func _check_order() -> void:
		var lows: Array = NdArray.new(dtype, [low.bounded.size()], low.values).numbers()
		var highs: Array = NdArray.new(dtype, [high.bounded.size()], high.values).numbers()
		for i in range(max(lows.size(), highs.size())):
			var least = lows[0 if low.is_uniform else i]
			var most = highs[0 if high.is_uniform else i]
			if Dtypes.is_greater(least, most):
				_refuse("a low bound of %s, which is above the high one of %s" % [least, most])

	## As Gymnasium does: an integer Box without a bound stores the limit of its dtype.
	func _limit(is_low: bool):
		var bits: int = 8 * Dtypes.size(dtype)
		var is_signed: bool = (Dtypes.code(dtype) & 255) < 5
		if is_low:
			return (INT64_MIN if bits == 64 else -(1 << (bits - 1))) if is_signed else 0
		if bits == 64:
			return INT64_MAX if is_signed else BigInt.from_u64(-1)
		return (1 << (bits - 1 if is_signed else bits)) - 1


## The integers from `start` to `start + n - 1`: `Discrete.new(3)`. Elements are ints. From 2^63 on, a count is a
## BigInt, and both fields are bits.
class Discrete:
	extends Space
	var n: int
	var start: int

	func _init(count, first = 0, type: String = "int64"):
		tag = Tag.DISCRETE
		dtype = type
		n = _counted(count, 1, "the count of a Discrete")
		start = _counted(first, INT64_MIN, "the start of a Discrete")
		_check_integers()
		if Dtypes.is_big(dtype):
			_refuse("a Discrete space of %s" % [dtype])


## Arrays of 0 and 1: `MultiBinary.new(4)`, `MultiBinary.new([2, 3])`. Elements are NdArrays of int8.
class MultiBinary:
	extends Space
	var is_int: bool

	func _init(n):
		tag = Tag.MULTI_BINARY
		dtype = "int8"
		is_int = typeof(n) == TYPE_INT
		_set_shape([n] if is_int else n, 1)


## Arrays of integers, each with its own count and start: `MultiDiscrete.new([3, 5])`. Elements are NdArrays.
class MultiDiscrete:
	extends Space
	var nvec: Array = []
	var start: Array = []

	func _init(counts: Array, starts = null, type: String = "int64", dimensions = null):
		tag = Tag.MULTI_DISCRETE
		dtype = type
		_set_shape(dimensions if dimensions != null else Fitting.shape_of(counts), 8)
		var _flat: bool = Fitting.flatten(counts, nvec)
		if starts != null:
			_flat = Fitting.flatten(starts, start)
		else:
			for _i in range(nvec.size()):
				start.append(0)
		_check_integers()
		var length: int = Dtypes.bytes_of(shape, 1)
		if nvec.size() != length or start.size() != length:
			_refuse("counts or starts that do not fit the shape %s" % [shape])
		for i in range(nvec.size()):
			nvec[i] = _counted(nvec[i], 1, "a count of a MultiDiscrete")
		for i in range(start.size()):
			start[i] = _counted(start[i], INT64_MIN, "a start of a MultiDiscrete")


## Texts of `min_length` to `max_length` code points, all of them in `charset`. Elements are Strings.
class Text:
	extends Space
	var min_length: int
	var max_length: int
	var charset: String

	func _init(most, least = 1, characters: String = DIGITS_AND_LETTERS):
		tag = Tag.TEXT
		min_length = _counted(least, 0, "the shortest length of a Text")
		max_length = _counted(most, 0, "the longest length of a Text")
		charset = characters
		# Negative numbers are the bits of those from 2^63 on.
		var is_long: bool = min_length < 0
		if is_long == (max_length < 0) and min_length > max_length or is_long and max_length >= 0:
			_refuse("texts of %s to %s characters" % [least, most])


## One element of each of several spaces: `Tuple.new([Discrete.new(3), Text.new(4)])`. Elements are TupleValues.
class Tuple:
	extends Space
	var spaces: Array

	func _init(members: Array):
		tag = Tag.TUPLE
		spaces = members
		_check_members(spaces)


## Named spaces in this order: `Dict.new({"speed": Box.new(0, 1, [1])})`. Elements are Dictionaries.
class Dict:
	extends Space
	var spaces: Dictionary

	func _init(members: Dictionary):
		tag = Tag.DICT
		spaces = members
		_check_members(spaces.values())
		for key in spaces:
			if not Fitting.is_key(key):
				_refuse("the keys of a Dict are texts, not %s" % [key])


## Any number of elements of one space. Elements are TupleValues or, with `stack`, the batch of them (section 6).
class Sequence:
	extends Space
	var space: Space
	var stack: bool

	func _init(member: Space, is_stacked: bool = false):
		tag = Tag.SEQUENCE
		space = member
		stack = is_stacked
		_check_members([member])


## Graphs whose nodes, and edges if there are any, are elements of a Box or Discrete. Elements are GraphInstances.
class Graph:
	extends Space
	var node: Space
	## A Space or null.
	var edge

	func _init(of_nodes: Space, of_edges = null):
		tag = Tag.GRAPH
		node = of_nodes
		edge = of_edges
		_check_members([node] if edge == null else [node, edge])


## An element of one of several spaces. Elements are TupleValues of a Scalar of int64, the index, and the element.
class OneOf:
	extends Space
	var spaces: Array

	func _init(members: Array):
		tag = Tag.ONE_OF
		spaces = members
		_check_members(spaces)
		if members.size() == 0:
			_refuse("a OneOf of no spaces")


## Between plain values of Godot and the values that spaces have.
class Fitting:
	static func is_space(x) -> bool:
		return typeof(x) == TYPE_OBJECT and x is Space

	static func is_bound(x) -> bool:
		return typeof(x) == TYPE_OBJECT and x is Bound

	## Whether it is an Array, a packed array or a vector.
	static func is_list(x) -> bool:
		return typeof(x) == TYPE_ARRAY or typeof(x) == TYPE_PACKED_BYTE_ARRAY or dtype_of(x) != ""

	static func has_arrays(space) -> bool:
		return space.tag == Tag.BOX or space.tag == Tag.MULTI_BINARY or space.tag == Tag.MULTI_DISCRETE

	## Returns the dtype of the elements of Godot's vectors and packed arrays, or "" for anything else.
	static func dtype_of(x) -> String:
		var type: int = typeof(x)
		if type in [TYPE_VECTOR2, TYPE_VECTOR3, TYPE_COLOR, TYPE_PACKED_FLOAT32_ARRAY]:
			return "float32"
		if type == TYPE_PACKED_FLOAT64_ARRAY:
			return "float64"
		if type in [TYPE_VECTOR2I, TYPE_VECTOR3I, TYPE_PACKED_INT32_ARRAY]:
			return "int32"
		return "int64" if type == TYPE_PACKED_INT64_ARRAY else ""

	## Appends all numbers in `x`, arrays in arrays, to `flat`; returns false where there is something else.
	static func flatten(x, flat: Array) -> bool:
		var type: int = typeof(x)
		if type == TYPE_VECTOR2 or type == TYPE_VECTOR2I:
			return flatten([x.x, x.y], flat)
		if type == TYPE_VECTOR3 or type == TYPE_VECTOR3I:
			return flatten([x.x, x.y, x.z], flat)
		if type == TYPE_COLOR:
			return flatten([x.r, x.g, x.b, x.a], flat)
		if is_list(x):
			for item in x:
				if not flatten(item, flat):
					return false
			return true
		if type == TYPE_OBJECT and x is NdArray:
			return flatten(x.numbers(), flat)
		flat.append(x)
		return type in [TYPE_INT, TYPE_FLOAT, TYPE_BOOL] or (type == TYPE_OBJECT and (x is BigInt or x is Scalar))

	static func shape_of(nested) -> Array:
		var shape: Array = []
		while typeof(nested) == TYPE_ARRAY:
			shape.append(nested.size())
			nested = nested[0] if nested.size() > 0 else null
		if is_list(nested):
			var flat: Array = []
			var _all: bool = flatten(nested, flat)
			shape.append(flat.size())
		return shape

	## Returns an observation in the form that its space has: numbers as an NdArray, an Array for a Tuple as a
	## TupleValue, the entries of a Dict in its order. What has that form, or is something else altogether, stays as it
	## is. Appends to `problems` what does not fit.
	static func fit(space, value, place: String, problems: Array):
		var type: int = typeof(value)
		if has_arrays(space):
			var is_number: bool = type in [TYPE_INT, TYPE_FLOAT] and space.shape.size() == 0
			if is_list(value) or is_number:
				var made = null
				if type == TYPE_PACKED_BYTE_ARRAY and space.dtype == "uint8":
					made = NdArray.new("uint8", space.shape, value)
				else:
					made = NdArray.of(space.dtype, space.shape, value)
				if made.problem != "":
					problems.append("%s: %s" % [place, made.problem])
				return made
		elif space.tag == Tag.TUPLE and type == TYPE_ARRAY and value.size() == space.spaces.size():
			var items: Array = []
			for i in range(value.size()):
				items.append(fit(space.spaces[i], value[i], "%s[%d]" % [place, i], problems))
			return TupleValue.new(items)
		elif space.tag == Tag.DICT and type == TYPE_DICTIONARY and value.size() == space.spaces.size():
			var entries: Dictionary = {}
			for key in space.spaces:
				if not value.has(key):
					return value
				entries[key] = fit(space.spaces[key], value[key], "%s.%s" % [place, key], problems)
			return entries
		elif space.tag == Tag.SEQUENCE and not space.stack and type == TYPE_ARRAY:
			var items: Array = []
			for i in range(value.size()):
				items.append(fit(space.space, value[i], "%s[%d]" % [place, i], problems))
			return TupleValue.new(items)
		elif space.tag == Tag.ONE_OF and type == TYPE_ARRAY and value.size() == 2 and typeof(value[0]) == TYPE_INT:
			if value[0] >= 0 and value[0] < space.spaces.size():
				var element = fit(space.spaces[value[0]], value[1], "%s[1]" % [place], problems)
				return TupleValue.new([Scalar.new("int64", value[0]), element])
		return value

	## Returns a value that was received with Scalars as numbers and TupleValues as Arrays, also inside of others.
	static func plain(value):
		match typeof(value):
			TYPE_ARRAY:
				var items: Array = []
				for item in value:
					items.append(plain(item))
				return items
			TYPE_DICTIONARY:
				var entries: Dictionary = {}
				for key in value:
					entries[plain(key)] = plain(value[key])
				return entries
			TYPE_OBJECT:
				if value is TupleValue:
					return plain(value.items)
				if value is Scalar:
					return value.value()
		return value

	## Whether Python could have it as the key of a dict.
	static func is_key(x) -> bool:
		match typeof(x):
			TYPE_NIL, TYPE_BOOL, TYPE_INT, TYPE_FLOAT, TYPE_STRING, TYPE_STRING_NAME, TYPE_PACKED_BYTE_ARRAY:
				return true
			TYPE_OBJECT:
				if x is TupleValue:
					for item in x.items:
						if not is_key(item):
							return false
					return true
				return x is BigInt or x is Scalar or x is Opaque or x is RawText
		return false

	## Whether a frame may have any number of such keys.
	static func is_free_key(x) -> bool:
		if typeof(x) == TYPE_INT:
			return x >= 0 and x < 16384
		return typeof(x) in [TYPE_STRING, TYPE_STRING_NAME] or (typeof(x) == TYPE_OBJECT and x is RawText)

	static func same_key(a, b) -> bool:
		if typeof(a) != TYPE_OBJECT and typeof(b) != TYPE_OBJECT:
			return typeof(a) == typeof(b) and a == b
		var left: Writer = Writer.new()
		left.value(a)
		var right: Writer = Writer.new()
		right.value(b)
		return left.finish() == right.finish()


## Reads one frame or a part of one. After bytes that are malformed `error` says why, and what it returns means nothing.
class Reader:
	var error: String = ""
	var _stream: StreamPeerBuffer = StreamPeerBuffer.new()
	var _size: int
	var _depth: int = LEVELS
	var _count: int = COUNT
	var _keys: int = 4096

	func _init(bytes: PackedByteArray):
		_stream.data_array = bytes
		_size = bytes.size()

	func refuse(why: String) -> void:
		if error == "":
			error = why

	func left() -> int:
		return _size - _stream.get_position()

	## Whether so many bytes are there.
	func has(n: int) -> bool:
		if error == "" and (n < 0 or n > left()):
			error = "more bytes announced than the %d that are left" % [left()]
		return error == ""

	func u8() -> int:
		return _stream.get_u8() if has(1) else 0

	func u16() -> int:
		return _stream.get_u16() if has(2) else 0

	func u32() -> int:
		return _stream.get_u32() if has(4) else 0

	## Returns an i64, or the bits of a u64.
	func i64() -> int:
		return _stream.get_64() if has(8) else 0

	func f64() -> float:
		return _stream.get_double() if has(8) else 0.0

	func flag() -> bool:
		var byte: int = u8()
		if byte > 1:
			refuse("a bool is 0 or 1")
		return byte == 1

	func raw(n: int) -> PackedByteArray:
		if n == 0 or not has(n):
			return PackedByteArray()
		return _stream.get_data(n)[1]

	func blob() -> PackedByteArray:
		return raw(i64())

	## Returns a text as a String, or as a RawText if no String holds it.
	func text():
		var bytes: PackedByteArray = blob()
		if not Bytes.is_utf8(bytes):
			refuse("a text that is not UTF-8")
			return ""
		# Godot's decoder stops at NUL and drops U+FEFF at the start.
		for byte in bytes:
			if byte == 0:
				return RawText.new(bytes)
		if bytes.size() >= 3 and bytes[0] == 0xef and bytes[1] == 0xbb and bytes[2] == 0xbf:
			return RawText.new(bytes)
		return bytes.get_string_from_utf8()

	## Returns a text for people, or a name, of at most so many bytes, as a String.
	func line(most: int = INT64_MAX) -> String:
		var start: int = _stream.get_position()
		var found = text()
		if _stream.get_position() - start - 8 > most:
			refuse("a name that is too long")
		if typeof(found) != TYPE_OBJECT:
			return found
		# Godot complains about NUL.
		var bytes: PackedByteArray = PackedByteArray()
		for byte in found.bytes:
			bytes.append(byte if byte != 0 else 32)
		return bytes.get_string_from_utf8()

	## Returns such a name or, if there is none, null.
	func optional_line(most: int):
		return line(most) if flag() else null

	## Returns the count of items that take at least `size` bytes each.
	func count(size: int) -> int:
		var n: int = i64()
		if error == "" and (n < 0 or n > left() / size):
			refuse("more items announced than the %d bytes that are left hold" % [left()])
		return n if error == "" else 0

	## Returns the same of items that are counted. More than there may be are refused before any is read.
	func counted(size: int) -> int:
		var n: int = count(size)
		if n > _count:
			refuse("too many values")
		return n if error == "" else 0

	func shape() -> Array:
		var numbers: Array = []
		for _i in range(count(8)):
			numbers.append(i64())
		return numbers

	func slots() -> Array:
		var numbers: Array = []
		for _i in range(count(4)):
			numbers.append(u32())
		return numbers

	func zeros(n: int) -> void:
		for byte in raw(n):
			if byte != 0:
				refuse("padding or reserved bytes that are not 0")
				return

	func end() -> void:
		if left() > 0:
			refuse("%d bytes too many" % [left()])

	## Goes one level down; the caller comes back with `leave()`.
	func enter() -> void:
		if _depth == 0:
			refuse("nested too deep")
		if _count == 0:
			refuse("too many values")
		_depth -= 1
		_count -= 1

	func leave() -> void:
		_depth += 1

	func dtype() -> String:
		var known: String = Dtypes.called(u32())
		if known == "":
			refuse("an unknown dtype")
			return "bool"
		return known

	## Returns `n` bytes of elements.
	func elements(type: String, n: int) -> PackedByteArray:
		var bytes: PackedByteArray = raw(n)
		if type == "bool":
			for byte in bytes:
				if byte > 1:
					refuse("a bool is 0 or 1")
					break
		return bytes

	func value():
		enter()
		var found = _value() if error == "" else null
		leave()
		return found

	func values(n: int) -> Array:
		var items: Array = []
		for _i in range(n):
			items.append(value())
			if error != "":
				break
		return items

	func _value():
		var tag: int = u32()
		match tag:
			0:
				return null
			1:
				return flag()
			2:
				return i64()
			3:
				var bytes: PackedByteArray = blob()
				var n: int = bytes.size()
				# The sign of what it would be without its last byte.
				var fill: int = 0xff if n > 8 and bytes[n - 2] >= 0x80 else 0
				if n <= 8 or bytes[n - 1] == fill:
					refuse("a large integer that is not in its shortest form")
				return BigInt.new(bytes)
			4:
				return f64()
			5:
				return text()
			6:
				return blob()
			7:
				return values(counted(4))
			8:
				return TupleValue.new(values(counted(4)))
			9:
				var entries: Dictionary = {}
				for _i in range(counted(8)):
					var name = key()
					entries[name] = value()
					if error != "":
						break
				return entries
			10:
				var type: String = dtype()
				var dimensions: Array = shape()
				var length: int = i64()
				if Dtypes.bytes_of(dimensions, Dtypes.size(type)) != length:
					refuse("an array whose shape does not hold its data")
					return null
				return NdArray.new(type, dimensions, elements(type, length)) if has(length) else null
			11:
				var type: String = dtype()
				return Scalar.new(type, elements(type, Dtypes.size(type)))
			12:
				var nodes = value()
				var edges = value()
				return GraphInstance.new(nodes, edges, value())
			13:
				var type_name = text()
				return Opaque.new(type_name, text())
		refuse("unknown value tag %d" % [tag])
		return null

	func key():
		var start: int = _stream.get_position()
		var found = value()
		if error != "":
			return null
		if not Fitting.is_key(found):
			refuse("a key that can be none")
		elif not Fitting.is_free_key(found):
			var is_opaque: bool = typeof(found) == TYPE_OBJECT and found is Opaque
			if _stream.get_position() - start > 256 and not is_opaque:
				refuse("a key that is too long")
			if _keys == 0:
				refuse("too many keys that are neither texts nor small integers")
			_keys -= 1
		return found

	## Returns a payload of as many rows: the packed bytes, or an Array of values. It ends the frame. Where the values
	## are malformed it is a Failure, for that ends the request, not the session.
	func payload(rows: int):
		var form: int = u32()
		if form > 1:
			refuse("an unknown form of a payload")
		if error != "":
			return null
		if form == 1:
			var items: Array = values(rows)
			end()
			if error == "":
				return items
			var wrong: Failure = Failure.new(error, "", Code.PROTOCOL)
			error = ""
			_stream.seek(_size)
			return wrong
		var length: int = i64()
		var pad: int = u32()
		if pad > 63 or (_stream.get_position() + pad) % 64 != 0:
			refuse("a payload at another place than a multiple of 64")
			return PackedByteArray()
		zeros(pad)
		if length != left():
			refuse("a payload of another length than the rest of the frame")
		return raw(length)


## Writes one frame. Four bytes for its length stand before it, so that both go out in one write. What cannot be sent
## sets `error`, and `is_too_long` if it is a frame beyond the limit.
class Writer:
	var error: String = ""
	var is_too_long: bool = false
	var allows_opaque: bool = false
	var _limit: int
	var _stream: StreamPeerBuffer = StreamPeerBuffer.new()
	var _depth: int = LEVELS
	var _count: int = COUNT
	# A frame may have 4096 such keys, and two large values.
	var _keys: int = 2048

	func _init(limit: int = 1 << 26):
		_limit = limit
		_stream.put_u32(0)

	func refuse(why: String) -> void:
		if error == "":
			error = why

	## Returns where in the frame the next byte stands.
	func at() -> int:
		return _stream.get_position() - 4

	## Returns the frame with its length before it.
	func finish() -> PackedByteArray:
		var length: int = at()
		_check_length()
		_stream.seek(0)
		_stream.put_u32(length)
		return _stream.data_array

	func _check_length() -> void:
		if error == "" and at() > _limit:
			error = "the answer takes more than %d bytes" % [_limit]
			is_too_long = true

	func header(kind: int, seq: int = 0, ack: int = 0, re: int = 0) -> void:
		u8(kind)
		zeros(7)
		u64(seq)
		u64(ack)
		u64(re)

	func u8(x: int) -> void:
		_stream.put_u8(x)

	func u16(x: int) -> void:
		_stream.put_u16(x)

	func u32(x: int) -> void:
		_stream.put_u32(x)

	## Writes an i64, or a u64 by its bits.
	func u64(x: int) -> void:
		_stream.put_64(x)

	func f64(x: float) -> void:
		_stream.put_double(x)

	func flag(x: bool) -> void:
		u8(1 if x else 0)

	func raw(bytes: PackedByteArray) -> void:
		_check_length()
		if bytes.size() > 0 and error == "":
			var _sent: int = _stream.put_data(bytes)

	func blob(bytes: PackedByteArray) -> void:
		u64(bytes.size())
		raw(bytes)

	## Writes a String or RawText.
	func text(x) -> void:
		blob(x.bytes if typeof(x) == TYPE_OBJECT else str(x).to_utf8_buffer())

	func optional_text(x) -> void:
		flag(x != null)
		if x != null:
			text(x)

	func zeros(n: int) -> void:
		for _i in range(n):
			u8(0)

	func pad_to(multiple: int, origin: int) -> void:
		zeros((multiple - (at() - origin) % multiple) % multiple)

	func numbers(list: Array) -> void:
		u64(list.size())
		for n in list:
			u64(n)

	func slots(list: Array) -> void:
		u64(list.size())
		for slot in list:
			u32(slot)

	func _enter() -> bool:
		if _depth == 0:
			refuse("a value that is nested more than %d levels deep" % [LEVELS])
		if _count == 0:
			refuse("more than %d values" % [COUNT])
		_check_length()
		_depth -= 1
		_count -= 1
		return error == ""

	## Writes any value, see the top of this file.
	func value(x) -> void:
		if _enter():
			_value(x)
		_depth += 1

	func values(items: Array) -> void:
		u64(items.size())
		for item in items:
			value(item)

	func _value(x) -> void:
		match typeof(x):
			TYPE_NIL:
				u32(0)
			TYPE_BOOL:
				u32(1)
				flag(x)
			TYPE_INT:
				u32(2)
				u64(x)
			TYPE_FLOAT:
				u32(4)
				f64(x)
			TYPE_STRING, TYPE_STRING_NAME:
				u32(5)
				text(x)
			TYPE_PACKED_BYTE_ARRAY:
				u32(6)
				blob(x)
			TYPE_ARRAY:
				u32(7)
				values(x)
			TYPE_DICTIONARY:
				u32(9)
				u64(x.size())
				for name in x:
					key(name)
					value(x[name])
			TYPE_OBJECT:
				_object(x)
			_:
				var type: String = Fitting.dtype_of(x)
				if type == "":
					_opaque(Opaque.new("Variant", str(x)))
					return
				var flat: Array = []
				var _all: bool = Fitting.flatten(x, flat)
				_object(NdArray.of(type, [flat.size()], flat))

	func _object(x) -> void:
		if x is BigInt:
			u32(3)
			blob(x.bytes)
		elif x is RawText:
			u32(5)
			blob(x.bytes)
		elif x is TupleValue:
			u32(8)
			values(x.items)
		elif x is NdArray:
			if x.problem != "":
				refuse(x.problem)
				return
			u32(10)
			u32(Dtypes.code(x.dtype))
			numbers(x.shape)
			blob(x.data)
		elif x is Scalar:
			if x.problem != "":
				refuse(x.problem)
				return
			u32(11)
			u32(Dtypes.code(x.dtype))
			raw(x.data)
		elif x is GraphInstance:
			u32(12)
			value(x.nodes)
			value(x.edges)
			value(x.edge_links)
		elif x is Opaque:
			_opaque(x)
		else:
			_opaque(Opaque.new(x.get_class(), str(x)))

	func _opaque(x) -> void:
		if not allows_opaque:
			refuse("no value of RLay can hold a %s" % [x.type_name])
			return
		u32(13)
		for part in [x.type_name, x.repr]:
			blob(part.bytes if typeof(part) == TYPE_OBJECT else Bytes.cut(part))

	## Writes the key of a dict or of a Dict space.
	func key(x) -> void:
		var start: int = at()
		value(x)
		if Fitting.is_free_key(x):
			return
		var is_long: bool = at() - start > 256 and not (typeof(x) == TYPE_OBJECT and x is Opaque)
		if is_long or not Fitting.is_key(x):
			refuse("a key of a dict that cannot be sent; use texts")
		if _keys == 0:
			refuse("more than 2048 keys of dicts that are neither texts nor small integers")
		_keys -= 1

	func space(x) -> void:
		if x.problem != "":
			refuse(x.problem)
		if _enter():
			_space(x)
		_depth += 1

	func _space(x) -> void:
		u32(x.tag)
		match x.tag:
			Tag.BOX:
				u32(Dtypes.code(x.dtype))
				numbers(x.shape)
				for bound in [x.low, x.high]:
					u32(0 if bound.is_uniform else 1)
					raw(bound.values)
					raw(bound.bounded)
			Tag.DISCRETE:
				u32(Dtypes.code(x.dtype))
				u64(x.n)
				u64(x.start)
			Tag.MULTI_BINARY:
				numbers(x.shape)
				flag(x.is_int)
			Tag.MULTI_DISCRETE:
				u32(Dtypes.code(x.dtype))
				numbers(x.shape)
				numbers(x.nvec)
				numbers(x.start)
			Tag.TEXT:
				u64(x.min_length)
				u64(x.max_length)
				text(x.charset)
			Tag.TUPLE, Tag.ONE_OF:
				u64(x.spaces.size())
				for member in x.spaces:
					space(member)
			Tag.DICT:
				u64(x.spaces.size())
				for name in x.spaces:
					key(name)
					space(x.spaces[name])
			Tag.SEQUENCE:
				flag(x.stack)
				space(x.space)
			Tag.GRAPH:
				space(x.node)
				flag(x.edge != null)
				if x.edge != null:
					space(x.edge)

	## Writes the elements of all rows: packed if each is exactly what unpacking gives back (section 7).
	func payload(of: Space, rows: Array) -> void:
		for row in rows:
			if not Packing.fits(of, row):
				u32(1)
				for x in rows:
					value(x)
				return
		u32(0)
		var length_at: int = _stream.get_position()
		u64(0)
		# From the start of the frame: the number itself is four bytes long.
		var pad: int = (64 - (at() + 4) % 64) % 64
		u32(pad)
		zeros(pad)
		var origin: int = at()
		Packing.write(self, of, rows, origin)
		var end: int = _stream.get_position()
		_stream.seek(length_at)
		u64(end - 4 - origin)
		_stream.seek(end)


## Packed payloads (section 7).
class Packing:
	## Whether the packed form holds this element exactly.
	static func fits(space, x) -> bool:
		var type: int = typeof(x)
		if Fitting.has_arrays(space):
			if type != TYPE_OBJECT or not x is NdArray or x.problem != "":
				return false
			return x.dtype == space.dtype and x.shape == space.shape and not Dtypes.is_big(x.dtype)
		if space.tag == Tag.DISCRETE:
			var is_scalar: bool = type == TYPE_OBJECT and x is Scalar
			return type == TYPE_INT or (is_scalar and x.dtype == space.dtype and x.problem == "")
		if space.tag == Tag.TUPLE:
			if type != TYPE_OBJECT or not x is TupleValue or x.items.size() != space.spaces.size():
				return false
			for i in range(x.items.size()):
				if not fits(space.spaces[i], x.items[i]):
					return false
			return true
		if space.tag == Tag.DICT:
			if type != TYPE_DICTIONARY or x.size() != space.spaces.size():
				return false
			var names: Array = space.spaces.keys()
			var keys: Array = x.keys()
			for i in range(keys.size()):
				if not Fitting.same_key(keys[i], names[i]) or not fits(space.spaces[names[i]], x[keys[i]]):
					return false
			return true
		return false

	## Writes rows that fit.
	static func write(w, space, rows: Array, origin: int) -> void:
		if Fitting.has_arrays(space):
			for row in rows:
				w.raw(row.data)
		elif space.tag == Tag.DISCRETE:
			for row in rows:
				var number = row if typeof(row) == TYPE_INT else row.value()
				w.u64(number if typeof(number) == TYPE_INT else number.low64())
			for row in rows:
				w.u8(0 if typeof(row) == TYPE_INT else 1)
		elif space.tag == Tag.TUPLE:
			for i in range(space.spaces.size()):
				var column: Array = []
				for row in rows:
					column.append(row.items[i])
				write(w, space.spaces[i], column, origin)
		else:
			var names: Array = space.spaces.keys()
			for i in range(names.size()):
				var column: Array = []
				for row in rows:
					column.append(row.values()[i])
				write(w, space.spaces[names[i]], column, origin)
		w.pad_to(8, origin)

	## Returns the elements of all rows; `r.error` says what is malformed.
	static func read(r, space, rows: int) -> Array:
		var found: Array = []
		if Fitting.has_arrays(space) and not Dtypes.is_big(space.dtype):
			var length: int = Dtypes.bytes_of(space.shape, Dtypes.size(space.dtype))
			for _i in range(rows):
				if not r.has(length):
					return found
				found.append(NdArray.new(space.dtype, space.shape.duplicate(), r.elements(space.dtype, length)))
			r.zeros((8 - rows * length % 8) % 8)
		elif space.tag == Tag.DISCRETE:
			for _i in range(rows):
				found.append(r.i64())
			for i in range(rows):
				if r.flag():
					var number = found[i]
					if space.dtype == "uint64" and number < 0:
						number = BigInt.from_u64(number)
					found[i] = Scalar.new(space.dtype, number)
					if found[i].problem != "":
						r.refuse(found[i].problem)
			r.zeros((8 - rows % 8) % 8)
		elif space.tag == Tag.TUPLE or space.tag == Tag.DICT:
			var is_tuple: bool = space.tag == Tag.TUPLE
			for _i in range(rows):
				found.append(TupleValue.new([]) if is_tuple else {})
			for name in (range(space.spaces.size()) if is_tuple else space.spaces.keys()):
				var column: Array = read(r, space.spaces[name], rows)
				if r.error != "":
					return found
				for i in range(rows):
					if is_tuple:
						found[i].items.append(column[i])
					else:
						found[i][name] = column[i]
		else:
			r.refuse("a space that has no packed form")
		return found

	## Returns the element of one row, or a Failure.
	static func read_one(bytes: PackedByteArray, space):
		var r: Reader = Reader.new(bytes)
		var found: Array = read(r, space, 1)
		r.end()
		return found[0] if r.error == "" else Failure.new(r.error, "", Code.PROTOCOL)


## Reads and writes frames (section 8).
class Messages:
	## Reads a frame: a Dictionary of kind, seq, ack, re, body (a Dictionary, null for a kind that an env does not
	## receive) and error, which is "" unless the frame is malformed.
	static func read(frame: PackedByteArray) -> Dictionary:
		var r: Reader = Reader.new(frame)
		var message: Dictionary = {"kind": r.u8()}
		r.zeros(7)
		message["seq"] = r.i64()
		message["ack"] = r.i64()
		message["re"] = r.i64()
		message["body"] = null
		if not message["kind"] in Kind.values():
			r.refuse("unknown kind of frame %d" % [message["kind"]])
		if r.error == "":
			message["body"] = _body(r, message["kind"])
			if message["body"] != null:
				r.end()
		message["error"] = r.error
		return message

	static func _body(r, kind: int):
		match kind:
			Kind.HELLO:
				return _hello(r)
			Kind.CHALLENGE:
				return {"nonce": _fixed(r)}
			Kind.PROOF:
				return {"proof": _fixed(r)}
			Kind.WELCOME:
				var welcome: Dictionary = {"wire": r.u16(), "features": r.i64(), "max_frame": r.i64()}
				welcome["peer"] = r.line(256)
				welcome["proof"] = _fixed(r) if r.flag() else null
				welcome["ticket"] = _fixed(r) if (welcome["features"] & RESUMABLE) != 0 else null
				welcome["received"] = r.i64() if (welcome["features"] & RESUMING) != 0 else null
				return welcome
			Kind.REJECT:
				return {"code": r.u32(), "wire_min": r.u16(), "wire_max": r.u16(), "message": r.line()}
			Kind.GOODBYE:
				return {"code": r.u32(), "message": r.line()}
			Kind.ERROR:
				var error: Dictionary = {"code": r.u32(), "fatal": r.flag(), "slots": r.slots()}
				error["error_type"] = r.line()
				error["message"] = r.line()
				error["traceback"] = r.line()
				return error
			Kind.MAKE:
				var make: Dictionary = {"env_id": r.optional_line(1024), "kwargs": r.value()}
				make["render_mode"] = r.optional_line(256)
				make["slots"] = r.u32()
				make["autoreset"] = r.u8()
				if make["autoreset"] > 2:
					r.refuse("an unknown autoreset mode")
				return make
			Kind.RESET:
				return _reset(r)
			Kind.STEP:
				var named: Array = r.slots()
				return {"slots": named, "payload": r.payload(named.size())}
			Kind.RENDER, Kind.CLOSE:
				return {"slots": r.slots()}
			Kind.ATTRIBUTE:
				return _attribute(r)
		return null

	static func _fixed(r) -> PackedByteArray:
		return r.raw(32)

	static func _hello(r) -> Dictionary:
		if r.u32() != MAGIC:
			r.refuse("no magic word")
		var hello: Dictionary = {"wire_min": r.u16(), "wire_max": r.u16(), "role": r.u8(), "auth": r.u8()}
		if hello["role"] > 1:
			r.refuse("an unknown role")
		hello["features"] = r.i64()
		hello["max_frame"] = r.i64()
		hello["peer"] = r.line(256)
		hello["nonce"] = _fixed(r) if hello["auth"] == 1 else null
		hello["ticket"] = null
		hello["received"] = null
		if (hello["features"] & RESUMING) != 0:
			hello["ticket"] = _fixed(r)
			hello["received"] = r.i64()
		return hello

	static func _reset(r) -> Dictionary:
		var reset: Dictionary = {"slots": [], "seeds": []}
		for _i in range(r.counted(5)):
			r.enter()
			reset["slots"].append(r.u32())
			reset["seeds"].append(_seed(r) if r.flag() else null)
			r.leave()
			if r.error != "":
				break
		reset["options"] = r.value()
		return reset

	## Returns an int, or a BigInt from 2^63 on.
	static func _seed(r):
		var bytes: PackedByteArray = r.blob()
		var n: int = bytes.size()
		if n > 4096 or (n > 0 and bytes[n - 1] == 0):
			r.refuse("a seed that is too long, or has zeros at its end")
			return null
		if n > 0 and bytes[n - 1] >= 0x80:
			bytes.append(0)
		if bytes.size() > 8:
			return BigInt.new(bytes)
		bytes.append_array(Bytes.zeros(8 - bytes.size()))
		return BigInt.new(bytes).low64()

	static func _attribute(r) -> Dictionary:
		var attribute: Dictionary = {"slots": r.slots(), "name": r.line(256), "access": r.u8()}
		attribute["values"] = []
		attribute["kwargs"] = null
		if attribute["access"] > 2:
			r.refuse("an unknown access")
		if attribute["access"] > 0:
			attribute["values"] = r.values(r.counted(4))
		if attribute["access"] == 1 and attribute["values"].size() != attribute["slots"].size():
			r.refuse("a value for each slot")
		if attribute["access"] == 2:
			attribute["kwargs"] = r.value()
			if not has_names(attribute["kwargs"]):
				r.refuse("keyword arguments that have no names")
		return attribute

	## Whether it is a dict whose keys are all texts.
	static func has_names(x) -> bool:
		if typeof(x) != TYPE_DICTIONARY:
			return false
		for name in x:
			if typeof(name) != TYPE_STRING and not (typeof(name) == TYPE_OBJECT and name is RawText):
				return false
		return true

	## Writes Hello, of a Dictionary as `read` returns it.
	static func hello(body: Dictionary) -> PackedByteArray:
		var w: Writer = Writer.new()
		w.header(Kind.HELLO)
		w.u32(MAGIC)
		w.u16(body["wire_min"])
		w.u16(body["wire_max"])
		w.u8(body["role"])
		w.u8(body["auth"])
		w.u64(body["features"])
		w.u64(body["max_frame"])
		w.text(body["peer"])
		if body["nonce"] != null:
			w.raw(body["nonce"])
		if body["ticket"] != null:
			w.raw(body["ticket"])
			w.u64(body["received"])
		return w.finish()

	## Writes Challenge or Proof.
	static func challenge(kind: int, bytes: PackedByteArray) -> PackedByteArray:
		var w: Writer = Writer.new()
		w.header(kind)
		w.raw(bytes)
		return w.finish()

	static func welcome(body: Dictionary) -> PackedByteArray:
		var w: Writer = Writer.new()
		w.header(Kind.WELCOME)
		w.u16(body["wire"])
		w.u64(body["features"])
		w.u64(body["max_frame"])
		w.text(body["peer"])
		w.flag(body["proof"] != null)
		if body["proof"] != null:
			w.raw(body["proof"])
		if body["ticket"] != null:
			w.raw(body["ticket"])
		if body["received"] != null:
			w.u64(body["received"])
		return w.finish()

	static func reject(code: int, message: String, wire_min: int = WIRE, wire_max: int = WIRE) -> PackedByteArray:
		var w: Writer = Writer.new()
		w.header(Kind.REJECT)
		w.u32(code)
		w.u16(wire_min)
		w.u16(wire_max)
		w.blob(Bytes.cut(message))
		return w.finish()

	## Writes the bodies of Goodbye and Error.
	static func goodbye(w, code: int, message: String) -> void:
		w.u32(code)
		w.blob(Bytes.cut(message))

	static func failure(w, found: Failure, is_fatal: bool, slots: Array = []) -> void:
		w.u32(found.code)
		w.flag(is_fatal)
		w.slots(slots)
		w.blob(Bytes.cut(found.error_type))
		w.blob(Bytes.cut(found.message))
		w.blob(Bytes.cut(found.traceback))


## Cuts a stream of bytes into frames (section 1): give what arrives to `push`, then ask `next` until it returns null.
class FrameReader:
	## The longest frame that is taken.
	var limit: int = HANDSHAKE_FRAME
	## Whether the peer said that nothing follows, on purpose.
	var is_closed: bool = false
	var error: String = ""
	var _bytes: PackedByteArray = PackedByteArray()
	var _at: int = 0

	func push(bytes: PackedByteArray) -> void:
		if _at > 0:
			_bytes = Bytes.part(_bytes, _at, _bytes.size())
			_at = 0
		_bytes.append_array(bytes)

	## Returns the next frame that is whole, or null.
	func next():
		if is_closed or error != "" or _bytes.size() - _at < 4:
			return null
		var length: int = _bytes[_at] | (_bytes[_at + 1] << 8) | (_bytes[_at + 2] << 16) | (_bytes[_at + 3] << 24)
		if length == 0xffffffff:
			is_closed = true
			return null
		if length > limit:
			error = "a frame of %d bytes, where %d are the most%s" % [length, limit, _foreign()]
			return null
		if _bytes.size() - _at < 4 + length:
			return null
		_at += 4 + length
		return Bytes.part(_bytes, _at - length, _at)

	func is_between_frames() -> bool:
		return is_closed or held() == 0

	## How many bytes wait for more.
	func held() -> int:
		return _bytes.size() - _at

	func _foreign() -> String:
		if (_bytes[_at] == 0x15 or _bytes[_at] == 0x16) and _bytes[_at + 1] == 3:
			return "; this is a TLS peer: use tcp:// at both ends"
		var word: String = ""
		for i in range(4):
			word += char(_bytes[_at + i] & 0x7f)
		if word in ["GET ", "POST", "HEAD", "PUT ", "OPTI", "HTTP", "PRI "]:
			return "; this is an HTTP peer: check address and port"
		return ""


## Tokens (section 9).
class Tokens:
	## White space of Unicode, but for U+2000 to U+200A.
	const OTHER_SPACES: Array = [0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000]

	static func sha256(pieces: Array) -> PackedByteArray:
		var context: HashingContext = HashingContext.new()
		var _started: int = context.start(HashingContext.HASH_SHA256)
		for piece in pieces:
			if piece.size() > 0:
				var _updated: int = context.update(piece)
		return context.finish()

	## HMAC (RFC 2104) over the class that Godot has had since 3.2. Keys have 32 bytes here, less than a block.
	static func hmac(key: PackedByteArray, pieces: Array) -> PackedByteArray:
		var inner: PackedByteArray = PackedByteArray()
		var outer: PackedByteArray = PackedByteArray()
		for i in range(64):
			var byte: int = key[i] if i < key.size() else 0
			inner.append(byte ^ 0x36)
			outer.append(byte ^ 0x5c)
		return sha256([outer, sha256([inner] + pieces)])

	## Returns the proof that one side, "dialer" or "listener", knows the token, for a Hello and a Challenge (whole
	## frames).
	static func prove(
		token: String, side: String, hello: PackedByteArray, challenge: PackedByteArray
	) -> PackedByteArray:
		var secret: PackedByteArray = token.to_utf8_buffer()
		var stream: StreamPeerBuffer = StreamPeerBuffer.new()
		stream.put_64(secret.size())
		var key: PackedByteArray = sha256([stream.data_array, secret])
		return hmac(key, [("rlay " + side).to_utf8_buffer(), hello, challenge])

	static func random32() -> PackedByteArray:
		return Crypto.new().generate_random_bytes(32)

	## Whether it has at least eight characters that are neither white space nor control characters.
	static func is_long_enough(token: String) -> bool:
		var visible: int = 0
		for i in range(token.length()):
			var c: int = token.unicode_at(i)
			var is_control: bool = c <= 32 or (c >= 127 and c <= 160)
			var is_space: bool = c >= 0x2000 and c <= 0x200a or c in OTHER_SPACES
			if not is_control and not is_space:
				visible += 1
		return visible >= 8


## How sessions are hosted. Set the fields before a backend gets it.
class Options:
	## The token that both sides have; else the environment variable RLAY_TOKEN; "" for none.
	var token: String = OS.get_environment("RLAY_TOKEN")
	## How many sessions are hosted at a time.
	var max_sessions: int = 1
	## The longest frame that is received or sent, in bytes.
	var max_frame: int = 1 << 26
	## For how many milliseconds a session outlives its connection; -1: 30 s, or less where nothing listens any more.
	var reconnect_timeout: int = -1
	## After how many milliseconds of silence of an agent that waits for nothing its connection is given up, for Godot
	## has no setting for TCP's keep-alive. An agent that is still there resumes the session. 0: never.
	var silence_timeout: int = 600000
	## The names of the keyword arguments that an agent may give.
	var kwargs: Array = []
	## Give Scalars and TupleValues as they are, and send observations as they are, without fitting them to the space.
	var exact_types: bool = false
	## A Callable that is given each line of the log, or null: they go to the standard error output.
	var log_to = null

	## Returns why these options make no sense, or "".
	func problem() -> String:
		if token != "" and not Tokens.is_long_enough(token):
			return "the token, of token or RLAY_TOKEN, has less than eight visible characters"
		if max_sessions < 1:
			return "max_sessions is at least 1"
		if max_frame < HANDSHAKE_FRAME or max_frame >= 0xffffffff:
			return "max_frame is a number of bytes from 65536 to 2^32-2"
		if reconnect_timeout < -1:
			return "reconnect_timeout is a number of milliseconds, or -1 for the usual one"
		if silence_timeout < 0:
			return "silence_timeout is a number of milliseconds, or 0 for none"
		for name in kwargs:
			if typeof(name) != TYPE_STRING:
				return "kwargs is an Array of names, not of %s" % [name]
		if log_to != null and not is_callable(log_to):
			return "log_to is a Callable that takes a line, or null"
		return ""

	## Whether it is a Callable of a method that there is.
	static func is_callable(x) -> bool:
		return typeof(x) == TYPE_CALLABLE and x.is_valid()

	## Returns for how many milliseconds a session may wait for another connection.
	func reconnect_budget() -> int:
		return reconnect_timeout if reconnect_timeout >= 0 else RECONNECT_TIMEOUT

	func write_log(text: String) -> void:
		if log_to == null:
			printerr("rlay: " + text)
		else:
			log_to.call(text)


## One connection of a session, without a socket: give what arrives to `receive`, send what `take` returns until that is
## null, say `lost` at the end. Close the socket once it `is_finished` and all is sent, or `is_aborted`.
class Connection:
	var session = null
	## Whether the handshake is over; why it has failed, if it has (a Failure).
	var is_open: bool = false
	var error = null
	var is_finished: bool = false
	var is_aborted: bool = false
	var _output: Array = []
	var _reader: FrameReader = FrameReader.new()

	## Takes bytes that have arrived.
	func receive(bytes: PackedByteArray) -> void:
		_reader.push(bytes)
		while not is_finished and not is_aborted:
			var frame = _reader.next()
			if frame == null:
				break
			if is_open:
				session.receive_frame(self, frame)
			elif _is_of_handshake(frame):
				_shake_hands(frame)
		if _reader.error != "":
			_malformed(_reader.error)
		if _reader.is_closed:
			if is_open:
				session.connection_closed(self)
			abort(Failure.new("the peer closed the connection", "", Code.CONNECTION_LOST))

	## How many bytes of a frame wait for the rest of it.
	func held() -> int:
		return _reader.held()

	## Returns the next bytes to send, or null.
	func take():
		return _output.pop_front() if _output.size() > 0 else null

	## The connection has ended without the close mark.
	func lost() -> void:
		if is_finished or is_aborted:
			return
		if is_open:
			session.connection_lost(self)
		abort(Failure.new("the connection was lost", "", Code.CONNECTION_LOST))

	## Closes at once, and sends nothing more.
	func abort(why) -> void:
		if is_aborted or is_finished:
			return
		if error == null:
			error = why
		is_aborted = true
		_output = []
		session = null

	## Sends a frame, which has its length before it.
	func push(frame: PackedByteArray) -> void:
		_output.append(frame)

	## Sends the close mark.
	func finish() -> void:
		if is_finished or is_aborted:
			return
		is_finished = true
		_output.append(PackedByteArray([255, 255, 255, 255]))
		session = null

	func _malformed(why: String) -> void:
		if is_open and session != null:
			session.violation(self, why)
		else:
			abort(Failure.new(why, "", Code.PROTOCOL))

	func _shake_hands(_frame: PackedByteArray) -> void:
		pass

	## Whether a frame has the header of those of the handshake, which have no numbers; refuses it if not.
	func _is_of_handshake(frame: PackedByteArray) -> bool:
		var is_one: bool = frame.size() >= HEADER and frame[0] <= Kind.REJECT
		for i in range(1, HEADER):
			is_one = is_one and frame[i] == 0
		if not is_one:
			_malformed("a frame that is none of the handshake")
		return is_one

	## Reads a frame of the handshake, or refuses it and returns null.
	func _read(frame: PackedByteArray):
		var message: Dictionary = Messages.read(frame)
		if message["error"] != "":
			_malformed(message["error"])
			return null
		return message

	func _open(of, their_max_frame: int) -> void:
		session = of
		is_open = true
		if session.limit == 0:
			# Negative numbers are beyond 2^63.
			var theirs: int = their_max_frame if their_max_frame >= 0 else INT64_MAX
			session.limit = int(max(HANDSHAKE_FRAME, min(session.options.max_frame, theirs)))
		_reader.limit = session.limit


## The dialer's end of a connection, for a new session or for one that has a ticket (section 9).
class DialedConnection:
	extends Connection
	var _dialed_for
	var _hello: PackedByteArray
	var _challenge = null
	var _resumes: bool

	func begin(of) -> void:
		_dialed_for = of
		_resumes = of.ticket != null
		var token: String = of.options.token
		_hello = Messages.hello({
			"wire_min": WIRE, "wire_max": WIRE, "role": 1, "auth": 0 if token == "" else 1,
			"features": RESUMABLE | (RESUMING if _resumes else 0), "max_frame": of.options.max_frame, "peer": SOFTWARE,
			"nonce": null if token == "" else Tokens.random32(),
			"ticket": of.ticket, "received": of.received,
		})
		push(_hello)

	func _shake_hands(frame: PackedByteArray) -> void:
		var hello: PackedByteArray = Bytes.part(_hello, 4, _hello.size())
		if frame == hello:
			# A kernel may connect a socket to itself, where nothing listens at the port yet.
			abort(Failure.new("nothing listens there", "", Code.CONNECTION_LOST))
			return
		var message = _read(frame)
		if message == null:
			return
		var token: String = _dialed_for.options.token
		if message["kind"] == Kind.CHALLENGE and token != "" and _challenge == null:
			_challenge = frame
			push(Messages.challenge(Kind.PROOF, Tokens.prove(token, "dialer", hello, frame)))
			return
		var body: Dictionary = message["body"]
		if message["kind"] == Kind.REJECT:
			_rejected(body)
			return
		if message["kind"] != Kind.WELCOME:
			_malformed("the agent answered Hello with what it should not")
			return
		if body["wire"] != WIRE:
			_malformed("the agent chose a wire number that was not offered")
			return
		if (body["received"] != null) != _resumes or (body["ticket"] != null and _resumes):
			_malformed("the agent took a new session for an old one, or the other way round")
			return
		if token != "":
			var has_proof: bool = _challenge != null and body["proof"] != null
			if not has_proof or not Bytes.same(body["proof"], Tokens.prove(token, "listener", hello, _challenge)):
				abort(Failure.new("the agent did not prove that it knows the token", "", Code.UNAUTHORIZED))
				return
		var of = _dialed_for
		_dialed_for = null
		if not _resumes:
			of.ticket = body["ticket"]
		elif not of.is_behind(self, body["received"]):
			return
		_open(of, body["max_frame"])
		of.go(self, body["received"] if _resumes else 0)

	func _rejected(body: Dictionary) -> void:
		var is_ended: bool = body["code"] == Code.CONNECTION_LOST and _resumes
		var is_told: bool = body["code"] in [Code.BUSY, Code.INCOMPATIBLE, Code.UNAUTHORIZED]
		var code: int = body["code"] if is_told or is_ended else Code.PROTOCOL
		var text: String = "the agent refused the connection: " + Bytes.shown(body["message"])
		var failure: Failure = Failure.new(text, "", code)
		if is_ended:
			_dialed_for.end(failure)
		abort(failure)


## The listener's end of a connection: admits the dialer, or lets it resume its session (section 9).
class AcceptedConnection:
	extends Connection
	var _acceptor
	var _hello_frame = null
	var _hello: Dictionary = {}
	var _challenge: PackedByteArray

	func begin(acceptor) -> void:
		_acceptor = acceptor

	func _refuse(code: int, message: String) -> void:
		push(Messages.reject(code, message))
		error = Failure.new(message, "", code)
		finish()

	func _shake_hands(frame: PackedByteArray) -> void:
		var token: String = _acceptor.options.token
		if _hello_frame != null:
			_proved(frame, token)
			return
		var early: Reader = Reader.new(Bytes.part(frame, HEADER, HEADER + 10))
		if frame.size() < HEADER + 10 or frame[0] != Kind.HELLO or early.u32() != MAGIC:
			_malformed("the dialer is no RLay endpoint")
			return
		var wire_min: int = early.u16()
		var wire_max: int = early.u16()
		var role: int = early.u8()
		var auth: int = early.u8()
		if role > 1:
			_malformed("an unknown role")
		elif wire_min > WIRE or wire_max < WIRE:
			_refuse(Code.INCOMPATIBLE, "this host speaks wire %d" % [WIRE])
		elif role == 1:
			_refuse(Code.INCOMPATIBLE, "both ends host an environment; one has to be an agent")
		elif auth > 1:
			_refuse(Code.INCOMPATIBLE, "an unknown kind of authentication")
		else:
			var message = _read(frame)
			if message == null:
				return
			if (auth == 1) != (token != ""):
				_refuse(Code.UNAUTHORIZED, "this host has no token" if token == "" else "this host asks for a token")
				return
			_hello_frame = frame
			_hello = message["body"]
			if token == "":
				_admit(null)
			else:
				var challenge: PackedByteArray = Messages.challenge(Kind.CHALLENGE, Tokens.random32())
				push(challenge)
				_challenge = Bytes.part(challenge, 4, challenge.size())

	func _proved(frame: PackedByteArray, token: String) -> void:
		var message = _read(frame)
		if message == null:
			return
		if message["kind"] != Kind.PROOF:
			_malformed("the dialer answered Challenge with what it should not")
		elif not Bytes.same(message["body"]["proof"], Tokens.prove(token, "dialer", _hello_frame, _challenge)):
			_refuse(Code.UNAUTHORIZED, "the token is another one")
		else:
			_admit(Tokens.prove(token, "listener", _hello_frame, _challenge))

	func _admit(proof) -> void:
		var options = _acceptor.options
		var welcome: Dictionary = {
			"wire": WIRE, "features": 0, "max_frame": options.max_frame, "peer": SOFTWARE, "proof": proof,
			"ticket": null, "received": null,
		}
		if _hello["ticket"] != null:
			var old = _acceptor.find(_hello["ticket"])
			var peer_received: int = _hello["received"]
			if old == null:
				_refuse(Code.CONNECTION_LOST, "the session has ended")
			elif old.is_behind(self, peer_received):
				old.abandon()
				_open(old, _hello["max_frame"])
				welcome["features"] = RESUMING
				welcome["received"] = old.received
				push(Messages.welcome(welcome))
				old.go(self, peer_received)
			return
		if not _acceptor.has_room():
			_refuse(Code.BUSY, "all sessions are taken")
			return
		var made: EnvSession = EnvSession.new(options)
		if (_hello["features"] & RESUMABLE) != 0:
			made.ticket = Tokens.random32()
			welcome["features"] = RESUMABLE
			welcome["ticket"] = made.ticket
		_open(made, _hello["max_frame"])
		push(Messages.welcome(welcome))
		_acceptor.admit(made)
		made.go(self, 0)


## Admits agents that dial: `accept` returns the Connection for a socket, `sessions` are those that there are,
## `take_new` returns each new one once.
class Acceptor:
	var options: Options
	var sessions: Array = []
	var _new: Array = []

	func _init(how: Options):
		options = how

	func accept() -> Connection:
		var connection: AcceptedConnection = AcceptedConnection.new()
		connection.begin(self)
		return connection

	## Returns a session that was not returned yet, or null.
	func take_new():
		return _new.pop_front() if _new.size() > 0 else null

	func admit(session) -> void:
		sessions.append(session)
		_new.append(session)

	func find(ticket: PackedByteArray):
		for session in sessions:
			if not session.is_over and session.ticket != null and Bytes.same(session.ticket, ticket):
				return session
		return null

	## Makes room where a session has not begun in the time of a handshake, or has lost its agent for the longest time.
	func has_room() -> bool:
		var remaining: Array = []
		for session in sessions:
			if not session.is_over:
				remaining.append(session)
		sessions = remaining
		if sessions.size() < options.max_sessions:
			return true
		var away = null
		for session in sessions:
			if not session.has_begun and Time.get_ticks_msec() - session.since > HANDSHAKE_TIME:
				session.goodbye(Code.BUSY, "another agent waits")
				sessions.erase(session)
				return true
			if session.is_lost and (away == null or session.lost_at < away.lost_at):
				away = session
		if away == null:
			return false
		away.end(Failure.new("the agent was away when another one came", "", Code.CONNECTION_LOST))
		sessions.erase(away)
		return true


## What an agent asks for when it makes an environment: `env_id` (String or null), `kwargs` (Dictionary), `render_mode`
## (String or null).
class Make:
	var env_id
	var kwargs: Dictionary
	var render_mode

	func _init(id, arguments: Dictionary, mode):
		env_id = id
		kwargs = arguments
		render_mode = mode


## One request of the agent: `kind` is "make" (with `make`), "reset" (`seed_value`, `options`), "step" (`action`),
## "render" or "close". Answer it once, by `reply` or `fail`, now or in a later frame.
class Turn:
	var kind: String
	var env
	var make: Make = null
	## null, an int, or a BigInt from 2^63 on.
	var seed_value = null
	var options = null
	var action = null
	var request: int
	var _session

	## The mode that the agent asked for when it made the environment, or null.
	var render_mode = null

	func _init(of, number: int, what: String, environment):
		_session = of
		render_mode = of.render_mode
		request = number
		kind = what
		env = environment

	## Whether the agent still waits for the answer. Answers to other turns do nothing.
	func is_open() -> bool:
		return _session.is_waiting_for(self)

	## Answers with what the environment's method would return: `[observation, info]` to a reset, `[observation, reward,
	## terminated, truncated, info]` to a step, a frame to a render, null to a close; a Failure is an error. What cannot
	## be sent is an error, too, which this returns as a text; else it returns "".
	func reply(value = null) -> String:
		return _session.reply(self, value)

	## Answers with an error of the environment: a text, or a Failure.
	func fail(what) -> void:
		_session.answer_failure(self, what if typeof(what) == TYPE_OBJECT else Failure.new(str(what)))


## An environment: set both spaces, and write `reset(seed, options)` and `step(action)`, which return what Turn.reply
## takes; `render()` and `close()` if there is something to do. Any object with these names will do. One without `step`
## is for the poll form: its Turns come from `poll()` of the backend.
class Env:
	var observation_space: Space
	var action_space: Space
	## Such as {"render_modes": ["rgb_array"], "render_fps": 30}.
	var metadata: Dictionary = METADATA.duplicate(true)
	## Any of reward_threshold, nondeterministic and max_episode_steps.
	var details: Dictionary = {}


## The session of one environment with one agent, without sockets or timers: connections bring bytes, `next_turn` gives
## what the agent asks for, its Turn takes the answer (sections 10, 13 and 21). `is_lost`: the connection was lost, and
## another one may take over. `is_over`: the session has ended, because of `error` (a Failure) if not in order.
class EnvSession:
	var options: Options
	## What Make was replied with, the render mode that the agent asked for, and how often the agent has stepped.
	var env = null
	var render_mode = null
	var steps: int = 0
	## Whether the agent has asked for an environment.
	var has_begun: bool = false
	var is_lost: bool = false
	var is_over: bool = false
	var error = null
	## 32 bytes that name the session, or null if it cannot be resumed.
	var ticket = null
	## The longest frame; 0 before the first handshake.
	var limit: int = 0
	var received: int = 0
	var since: int = Time.get_ticks_msec()
	var lost_at: int = 0
	## When something has arrived last.
	var heard_at: int = since
	## "no env", "making", "open", "closing", "closed"
	var _state: String = "no env"
	## The request that owes an answer, and whether next_turn() has returned it.
	var _turn = null
	var _is_taken: bool = true
	var _was_reset: bool = false
	var _connection = null
	var _sent: int = 0
	var _acknowledged: int = 0
	## The frames that were sent and not acknowledged yet; the first has this number.
	var _kept: Array = []
	var _kept_from: int = 1
	var _kept_bytes: int = 0

	func _init(how: Options):
		options = how

	## Returns a new Connection, for a socket that was dialed: the session's first, or one that takes over from a lost
	## one.
	func dial() -> Connection:
		abandon()
		var connection: DialedConnection = DialedConnection.new()
		connection.begin(self)
		return connection

	## Returns what the agent asks for, once, or null. An agent has one request under way.
	func next_turn():
		if _is_taken or _turn == null:
			return null
		_is_taken = true
		return _turn

	func is_waiting_for(turn) -> bool:
		return _turn == turn

	## Ends the session in order; `code` is 0 or one of Code.
	func goodbye(code: int = 0, message: String = "") -> void:
		if is_over:
			return
		var w: Writer = _frame(Kind.GOODBYE, 0)
		Messages.goodbye(w, code, message)
		var _sent_it: String = _send(w)
		end(null)

	## Ends the session because of a Failure or, in order, null. The close mark alone follows.
	func end(why) -> void:
		if is_over:
			return
		is_over = true
		is_lost = false
		error = why
		_turn = null
		_kept = []
		if _connection != null:
			_connection.finish()
		_connection = null

	## Goes on without the connection that there is.
	func abandon() -> void:
		var old = _connection
		_connection = null
		if old != null:
			old.abort(Failure.new("another connection took over", "", Code.CONNECTION_LOST))

	## Whether a peer that has received so many frames can go on; ends this connection or the session if not.
	func is_behind(connection, peer_received: int) -> bool:
		if peer_received < 0 or peer_received > _sent:
			end(Failure.new("the agent has received frames that were not sent", "", Code.PROTOCOL))
		elif peer_received < _sent and (_kept.size() == 0 or _kept_from > peer_received + 1):
			# Numbers below one that was acknowledged are of a handshake that a later one has overtaken.
			if peer_received < _acknowledged:
				connection.abort(Failure.new("an old handshake", "", Code.PROTOCOL))
			else:
				end(Failure.new("more was lost with the connection than was kept", "", Code.CONNECTION_LOST))
		else:
			return true
		connection.abort(error)
		return false

	## Goes on over a connection whose other end has received so many frames.
	func go(connection, peer_received: int) -> void:
		if is_over:
			connection.abort(Failure.new("the session is over", "", Code.CLOSED))
			return
		_connection = connection
		is_lost = false
		heard_at = Time.get_ticks_msec()
		_acknowledge(peer_received)
		for frame in _kept:
			connection.push(frame)

	func connection_lost(connection) -> void:
		if connection != _connection:
			return
		_connection = null
		if ticket == null:
			end(Failure.new("the connection was lost", "", Code.CONNECTION_LOST))
			return
		is_lost = true
		lost_at = Time.get_ticks_msec()

	## Gives up the connection if nothing has arrived for too long, see Options.silence_timeout.
	func check_silence() -> void:
		var most: int = options.silence_timeout
		if most <= 0 or _turn != null or ticket == null or _connection == null:
			return
		if Time.get_ticks_msec() - heard_at > most:
			_connection.lost()

	func connection_closed(connection) -> void:
		if connection == _connection:
			end(Failure.new("the agent left without a goodbye", "", Code.CONNECTION_LOST))

	func violation(connection, why: String) -> void:
		if connection != _connection:
			return
		var found: Failure = Failure.new(why, "", Code.PROTOCOL)
		var w: Writer = _frame(Kind.ERROR, 0)
		Messages.failure(w, found, true)
		var _sent_it: String = _send(w)
		end(found)

	func _acknowledge(seq: int) -> void:
		_acknowledged = int(max(_acknowledged, seq))
		while _kept.size() > 0 and _kept_from <= _acknowledged:
			_kept_bytes -= _kept.pop_front().size()
			_kept_from += 1

	func _frame(kind: int, re: int) -> Writer:
		var w: Writer = Writer.new(limit if limit > 0 else HANDSHAKE_FRAME)
		w.header(kind, _sent + 1, received, re)
		return w

	## Sends a frame; returns why it cannot be sent, or "".
	func _send(w: Writer) -> String:
		var frame: PackedByteArray = w.finish()
		if w.error != "":
			return w.error
		_sent += 1
		if ticket != null:
			# An agent that acknowledges nothing is not to fill the memory.
			if _kept.size() >= 2048 or _kept_bytes + frame.size() > limit + HANDSHAKE_FRAME:
				_kept = []
				_kept_bytes = 0
			if _kept.size() == 0:
				_kept_from = _sent
			_kept.append(frame)
			_kept_bytes += frame.size()
		if _connection != null:
			_connection.push(frame)
		return ""

	func receive_frame(connection, frame: PackedByteArray) -> void:
		if connection != _connection:
			return
		var message: Dictionary = Messages.read(frame)
		var kind: int = message["kind"]
		var seq: int = message["seq"]
		var body = message["body"]
		if message["error"] != "":
			violation(connection, message["error"])
			return
		if seq != received + 1:
			violation(connection, "frame %d behind frame %d" % [seq, received])
			return
		if message["ack"] < 0 or message["ack"] > _sent or message["re"] < 0 or message["re"] > _sent:
			violation(connection, "an acknowledgement of what was not sent")
			return
		received = seq
		heard_at = Time.get_ticks_msec()
		_acknowledge(message["ack"])
		if kind == Kind.GOODBYE or (kind == Kind.ERROR and body["fatal"]):
			var text: String = "the agent ended the session: " + Bytes.shown(body["message"])
			end(null if body["code"] == 0 else Failure.new(text, "", body["code"]))
			return
		if not kind in REQUESTS:
			violation(connection, "the agent sent a frame of kind %d out of turn" % [kind])
			return
		var refusal = _refusal(kind, body)
		if refusal == null:
			_request(kind, seq, body)
		else:
			var w: Writer = _frame(Kind.ERROR, seq)
			Messages.failure(w, refusal, false)
			var _sent_it: String = _send(w)

	## Returns why a request cannot be taken now, or null (the tables of section 10).
	func _refusal(kind: int, body):
		if kind == Kind.STEP_AGENTS or kind == Kind.RESULT_AGENTS:
			return Failure.new("environments with many agents are not supported", "", Code.USAGE)
		if kind == Kind.MAKE:
			return null if _state == "no env" else Failure.new("the environment is made already", "", Code.USAGE)
		if _state == "no env" or _state == "making":
			return Failure.new("the environment is not made yet; send Make first", "", Code.USAGE)
		if _state != "open":
			return Failure.new("the environment is closed", "", Code.CLOSED)
		if kind == Kind.CLOSE:
			return Failure.new("an answer is still owed; close after it", "", Code.BUSY) if _turn != null else null
		var slots: Array = body["slots"]
		for slot in slots:
			if slot != 0:
				return Failure.new("there is one slot, number 0", "", Code.USAGE)
		if slots.size() != 1:
			return Failure.new("a request has to name the slot once", "", Code.USAGE)
		if _turn != null:
			return Failure.new("the slot still owes an answer", "", Code.BUSY)
		if kind == Kind.STEP and not _was_reset:
			return Failure.new("Cannot call env.step() before calling env.reset()", "", Code.RESET_NEEDED)
		if kind == Kind.ATTRIBUTE:
			return Failure.new("this host offers no attributes", "", Code.USAGE)
		if kind == Kind.RENDER and render_mode == null:
			return Failure.new("there is no render mode; the agent did not ask for one", "", Code.USAGE)
		return null

	## Makes a request that can be taken the turn, unless its content is wrong.
	func _request(kind: int, seq: int, body) -> void:
		var turn: Turn = Turn.new(self, seq, "", env)
		_turn = turn
		match kind:
			Kind.MAKE:
				turn.kind = "make"
				has_begun = true
				_state = "making"
				if not Messages.has_names(body["kwargs"]):
					answer_failure(turn, Failure.new("keyword arguments are a dict with names as keys", "", Code.USAGE))
					return
				for name in body["kwargs"]:
					if not name in options.kwargs:
						var text: String = "no keyword argument '%s' here; there are: %s"
						text = text % [Bytes.shown(str(name)), options.kwargs]
						answer_failure(turn, Failure.new(text, "", Code.USAGE))
						return
				turn.make = Make.new(body["env_id"], Fitting.plain(body["kwargs"]), body["render_mode"])
			Kind.RESET:
				turn.kind = "reset"
				turn.seed_value = body["seeds"][0]
				turn.options = body["options"] if options.exact_types else Fitting.plain(body["options"])
			Kind.STEP:
				turn.kind = "step"
				var action = _action(body["payload"])
				if typeof(action) == TYPE_OBJECT and action is Failure:
					answer_failure(turn, action)
					return
				turn.action = action if options.exact_types else Fitting.plain(action)
			Kind.RENDER:
				turn.kind = "render"
			Kind.CLOSE:
				turn.kind = "close"
				_state = "closing"
		_is_taken = false

	## Returns the action in a payload of one row, or a Failure.
	func _action(payload):
		match typeof(payload):
			TYPE_PACKED_BYTE_ARRAY:
				return Packing.read_one(payload, env.action_space)
			TYPE_ARRAY:
				return payload[0]
		return payload

	## Answers a turn, see Turn.reply.
	func reply(turn, value) -> String:
		if turn != _turn:
			return ""
		if typeof(value) == TYPE_OBJECT and value is Failure:
			answer_failure(turn, value)
			return ""
		var problem: String = ""
		var is_too_long: bool = false
		var w: Writer = null
		match turn.kind:
			"make":
				w = _frame(Kind.SPEC, turn.request)
				problem = _write_spec(w, turn.make, value)
			"close":
				w = _frame(Kind.CLOSED, turn.request)
				w.u64(0)
			"render":
				w = _frame(Kind.FRAMES, turn.request)
				w.u64(1)
				w.u32(0)
				w.value(value)
			_:
				w = _frame(Kind.RESULT, turn.request)
				problem = _write_result(w, turn.kind == "reset", value)
		if problem == "":
			problem = _send(w)
			is_too_long = w.is_too_long
		if problem != "":
			# A frame that is too long is no failure of the environment: the agent has asked for too small a limit.
			var code: int = Code.USAGE if is_too_long else Code.ENV
			answer_failure(turn, Failure.new(problem, "" if is_too_long else "TypeError", code))
			return problem
		match turn.kind:
			"make":
				env = value
				render_mode = turn.make.render_mode
				_state = "open"
			"reset":
				_was_reset = true
			"step":
				steps += 1
			"close":
				_state = "closed"
		_turn = null
		return ""

	func _write_result(w: Writer, is_first: bool, value) -> String:
		if typeof(value) != TYPE_ARRAY or value.size() != (2 if is_first else 5):
			if is_first:
				return "what answers a reset has to be [observation, info]"
			return "what answers a step has to be [observation, reward, terminated, truncated, info]"
		var observation = value[0]
		var info = value[value.size() - 1]
		var reward = 0.0 if is_first else value[1]
		if not typeof(reward) in [TYPE_INT, TYPE_FLOAT]:
			return "the reward is no number"
		if typeof(info) != TYPE_DICTIONARY:
			return "the info is no Dictionary"
		if not is_first and (typeof(value[2]) != TYPE_BOOL or typeof(value[3]) != TYPE_BOOL):
			return "terminated and truncated are no bools"
		if not options.exact_types:
			var problems: Array = []
			observation = Fitting.fit(env.observation_space, observation, "the observation", problems)
			if problems.size() > 0:
				return problems[0]
		w.u64(1)
		w.u32(0)
		w.u8(1 if is_first else (2 if value[2] else 0) | (4 if value[3] else 0))
		w.f64(float(reward))
		w.allows_opaque = true
		w.value(info)
		w.allows_opaque = false
		w.payload(env.observation_space, [observation])
		return ""

	func _write_spec(w: Writer, make: Make, environment) -> String:
		if typeof(environment) != TYPE_OBJECT:
			return "no environment was made; Godot prints an error if the method that makes them has one"
		for name in ["observation_space", "action_space"]:
			if not Fitting.is_space(environment.get(name)):
				return "the environment's %s is no space" % [name]
		if environment.has_method("step") and not environment.has_method("reset"):
			return "the environment has a method step and none that is called reset"
		var metadata = environment.get("metadata")
		var given = environment.get("details")
		var details: Dictionary = {}
		if typeof(given) == TYPE_DICTIONARY:
			if given.get("reward_threshold") != null:
				details["reward_threshold"] = float(given["reward_threshold"])
			if given.get("nondeterministic") != null:
				details["nondeterministic"] = bool(given["nondeterministic"])
			if given.get("max_episode_steps") != null:
				details["max_episode_steps"] = int(given["max_episode_steps"])
		w.text("" if make.env_id == null else make.env_id)
		w.space(environment.observation_space)
		w.space(environment.action_space)
		w.u32(1)
		w.u8(0)
		w.optional_text(make.render_mode)
		w.allows_opaque = true
		w.value(metadata if typeof(metadata) == TYPE_DICTIONARY else METADATA)
		w.value(details)
		w.u64(0)
		return ""

	## Answers a turn with a Failure.
	func answer_failure(turn, found: Failure) -> void:
		if turn != _turn:
			return
		var w: Writer = _frame(Kind.ERROR, turn.request)
		Messages.failure(w, found, false)
		var _sent_it: String = _send(w)
		if turn.kind == "make":
			_state = "no env"
		if turn.kind == "close":
			_state = "closed"
		_turn = null


## An address of the form tcp://host:port, taken apart; `problem` says why it is none.
class Address:
	var host: String = ""
	var shown_host: String = ""
	var port: int = 0
	var allows_remote: bool = false
	var problem: String = ""

	func _init(text: String, listens: bool):
		var mark: int = text.find("://")
		if mark < 0:
			problem = "an address looks like tcp://127.0.0.1:5005"
			return
		if text.substr(0, mark) != "tcp":
			problem = "this client has no %s://; use tcp:// at both ends" % [text.substr(0, mark)]
			return
		var place: String = text.substr(mark + 3, text.length())
		var question: int = place.find("?")
		if question >= 0:
			var option: String = place.substr(question + 1, place.length())
			place = place.substr(0, question)
			allows_remote = listens and option == "insecure_allow_remote=yes"
			if not allows_remote:
				problem = "there is no option %s here" % [option]
				return
		var colon: int = place.rfind(":")
		var number: String = place.substr(colon + 1, place.length())
		shown_host = place.substr(0, colon) if colon > 0 else ""
		host = shown_host
		if host.begins_with("[") and host.ends_with("]"):
			host = host.substr(1, host.length() - 2)
		elif host.find(":") >= 0 or host.find("/") >= 0:
			host = ""
		if host == "" or not _is_port(number):
			problem = "a tcp address is tcp://host:port, such as tcp://127.0.0.1:5005 or tcp://[::1]:5005"
			return
		port = int(number)

	static func _is_port(text: String) -> bool:
		for i in range(text.length()):
			if text.unicode_at(i) < 48 or text.unicode_at(i) > 57:
				return false
		return text != "" and text.length() < 6 and int(text) < 65536

	func is_loopback() -> bool:
		return host == "localhost" or host == "::1" or (host.begins_with("127.") and host.is_valid_ip_address())


## A socket with its connection.
class Link:
	var connection: Connection
	## Whether the socket is closed.
	var is_closed: bool = false
	## Whether it could not even be opened.
	var is_refused: bool = false
	var _socket: StreamPeerTCP
	var _is_connecting: bool = true
	var _begun_at: int = Time.get_ticks_msec()
	## When the time for the handshake has begun.
	var _since: int = _begun_at
	var _finished_at: int = 0
	## How many bytes are read at a time.
	var _piece: int = 65536
	var _unsent: PackedByteArray = PackedByteArray()
	var _at: int = 0
	## When the socket has taken something last, or there was nothing for it.
	var _sent_at: int = _since

	func _init(socket: StreamPeerTCP, of: Connection):
		_socket = socket
		connection = of

	## Sends and receives what can be, without waiting; returns whether anything moved.
	func pump() -> bool:
		if is_closed:
			return false
		var _polled: int = _socket.poll()
		var status: int = _socket.get_status()
		var now: int = Time.get_ticks_msec()
		if _is_connecting and status == StreamPeerTCP.STATUS_CONNECTING:
			_judge(now)
			if not connection.is_aborted:
				return false
		if _is_connecting and status == StreamPeerTCP.STATUS_CONNECTED:
			_is_connecting = false
			_socket.set_no_delay(true)
		if status != StreamPeerTCP.STATUS_CONNECTED:
			is_refused = _is_connecting
			connection.lost()
			close()
			return true
		var moved: bool = flush()
		# Stops reading from a peer that does not read, and does not wait for it for ever.
		if now - _sent_at > STUCK_TIME:
			connection.lost()
		elif _at == _unsent.size() and _receive():
			moved = true
			# An answer to a handshake is not to wait for a step.
			var _flushed: bool = flush()
		_judge(now)
		if connection.is_aborted:
			close()
		elif connection.is_finished:
			# Reads on for a while: closing over unread bytes resets the connection, and the peer may lose what was
			# sent last.
			if _finished_at == 0:
				_finished_at = now
			elif now - _finished_at > CLOSE_TIME:
				close()
		return moved

	## Ends a handshake that takes too long.
	func _judge(now: int) -> void:
		if not connection.is_open and not connection.is_finished and now - _since > HANDSHAKE_TIME:
			connection.abort(Failure.new("the handshake took too long", "", Code.CONNECTION_LOST))

	## Whether the handshake is under way, and young.
	func is_new() -> bool:
		var is_shaking: bool = not (connection.is_open or connection.is_aborted or connection.is_finished)
		return is_shaking and not is_closed and Time.get_ticks_msec() - _begun_at < GREETING_TIME

	## Does not count some time against the peer.
	func forgive(milliseconds: int) -> void:
		_since += milliseconds
		if _finished_at > 0:
			_finished_at += milliseconds

	func _receive() -> bool:
		var moved: bool = false
		var begun: int = Time.get_ticks_msec()
		for _i in range(16):
			var available: int = _socket.get_available_bytes()
			if available <= 0:
				break
			var piece_begun: int = Time.get_ticks_msec()
			var result: Array = _socket.get_partial_data(int(min(available, _piece)))
			if result[0] != OK or result[1].size() == 0:
				break
			moved = true
			# What follows the close mark is read and dropped.
			if not connection.is_finished:
				connection.receive(result[1])
			# Of a peer that asks without a pause no more is read at a time than lets the others have their turns; a
			# long frame takes its time in any case.
			var now: int = Time.get_ticks_msec()
			var is_slow: bool = now - piece_begun > READING_TIME and connection.held() < 65536
			_piece = int(max(1024, _piece / 2.0)) if is_slow else int(min(65536, _piece * 2))
			if now - begun > READING_TIME:
				break
			if connection.is_aborted or _socket.get_status() != StreamPeerTCP.STATUS_CONNECTED:
				break
		return moved

	## Sends what there is, as far as the socket takes it.
	func flush() -> bool:
		var moved: bool = false
		while not is_closed and not _is_connecting:
			if _at == _unsent.size():
				var bytes = connection.take()
				if bytes == null:
					break
				_unsent = bytes
				_at = 0
			# Copies no more of what is left than a socket is likely to take at once.
			var piece: PackedByteArray = _unsent if _at == 0 else Bytes.part(_unsent, _at, _at + 262144)
			var result: Array = _socket.put_partial_data(piece)
			if result[0] != OK or result[1] <= 0:
				break
			moved = true
			_at += result[1]
		if moved or _at == _unsent.size():
			_sent_at = Time.get_ticks_msec()
		return moved

	func close() -> void:
		if not is_closed:
			is_closed = true
			_socket.disconnect_from_host()


## A session that a backend hosts, with its environment and what it takes to dial again.
class Hosted:
	var session: EnvSession
	var env = null
	## Of a dialer.
	var link = null
	var pause: int = FIRST_PAUSE
	var next_at: int = 0
	var received_before: int = -1
	var loss_pause: int = 0
	var was_lost: bool = false

	func _init(of: EnvSession):
		session = of


## What both backends have in common: sessions, and the loop that asks their environments.
class Backend:
	## The address; that of a listener has the real port once it has started.
	var address: String
	var options: Options
	## Why it has stopped, if not by `close` (a Failure).
	var error = null
	var is_closed: bool = false
	var _place: Address
	var _has_started: bool = false
	## What was given as options, unless it was an Options.
	var _wrong_options = null
	var _make
	var _hosted: Array = []
	var _links: Array = []
	var _turns: Array = []
	var _said: Dictionary = {}
	var _failures: int = 0
	## When it has read last; 0 before.
	var _read_at: int = 0

	## `make` is a Callable that is given a Make and returns an environment or a Failure.
	func _set_up(make, where: String, how, listens: bool) -> void:
		_make = make
		address = where
		if typeof(how) == TYPE_OBJECT and how is Options:
			options = how
		else:
			options = Options.new()
			_wrong_options = how
		_place = Address.new(where, listens)

	## Returns why it cannot work, or "".
	func problem() -> String:
		if _place.problem != "":
			return "%s: %s" % [Bytes.shown(address), _place.problem]
		if _wrong_options != null:
			return "options are an RLay.Options whose fields are set, not %s" % [_wrong_options]
		if not Options.is_callable(_make):
			return (
				"what makes environments is a Callable, such as Callable(self, \"make\"), of a method that there is; "
				+ "keep its object in a variable"
			)
		return options.problem()

	## Begins; returns why it cannot, or "".
	func start() -> String:
		var found: String = problem()
		if found == "" and is_closed:
			found = "the backend was closed; make another one"
		elif found == "" and _has_started:
			found = "the backend was started already"
		_has_started = _has_started or found == ""
		return found

	## Serves sockets and environments, without waiting but for a handshake in a game that calls this less than ten
	## times a second. Returns the next Turn of an environment without a `step` method, or null. Call it in each frame
	## until it returns null.
	func poll():
		var _moved: bool = serve()
		# Has the environment closed although no answer is waited for.
		while _turns.size() > 0:
			var turn = _turns.pop_front()
			if turn.is_open() or turn.kind == "close":
				return turn
		return null

	## Serves until `close` or an error; blocks. Returns the error as a text, or "". Not for the poll form.
	func run() -> String:
		var problem_at_start: String = start()
		return problem_at_start if problem_at_start != "" else serve_until_closed()

	## Does the same after `start`.
	func serve_until_closed() -> String:
		var pause: float = 1.0
		while not is_closed or _links.size() > 0:
			# Sleeps for longer the longer nothing happens, 2 ms at most.
			if serve():
				pause = 1.0
			else:
				OS.delay_usec(int(pause))
				pause = min(pause * 1.1, 2000.0)
		return "" if error == null else error.message

	## Admits no agent any more, and ends every session. What is still to be sent goes out in the next calls of `poll`.
	func close() -> void:
		is_closed = true
		for hosted in _hosted:
			hosted.session.goodbye()
		for link in _links:
			if not link.connection.is_open:
				link.connection.abort(Failure.new("the backend was closed", "", Code.CONNECTION_LOST))
				link.close()
		var _moved: bool = serve()

	## Does one round of everything; returns whether anything moved.
	func serve() -> bool:
		if not _has_started:
			return false
		var away: int = Time.get_ticks_msec() - _read_at
		if _read_at > 0 and away > 1000:
			_forgive(away - 1000)
		var moved: bool = _exchange()
		# Where steps or the game's own loop take long, a handshake is not to wait for the next of them. All of them
		# together have this time, for a peer may begin one after another.
		var ends: int = Time.get_ticks_msec() + GREETING_TIME
		while _read_at > 0 and away > GREETING_TIME and Time.get_ticks_msec() < ends and _is_greeting():
			OS.delay_usec(1000)
			moved = _exchange() or moved
		_read_at = Time.get_ticks_msec()
		for hosted in _hosted.duplicate():
			moved = _ask(hosted) or moved
			hosted.session.check_silence()
			_look_after(hosted)
			if hosted.session.is_over:
				_ended(hosted)
				moved = true
		var remaining: Array = []
		for link in _links:
			var _flushed: bool = link.flush()
			if not link.is_closed:
				remaining.append(link)
			else:
				_link_ended(link)
		_links = remaining
		return moved

	func _exchange() -> bool:
		var moved: bool = _admit()
		for link in _links:
			moved = link.pump() or moved
		return moved

	func _is_greeting() -> bool:
		for link in _links:
			if link.is_new():
				return true
		return false

	## While the game or an environment runs, nothing is read, so of that time a second at most counts against peers.
	func _forgive(milliseconds: int) -> void:
		for link in _links:
			link.forgive(milliseconds)
		for hosted in _hosted:
			hosted.session.since += milliseconds
			hosted.session.lost_at += milliseconds

	func _admit() -> bool:
		return false

	func _look_after(_hosted_one) -> void:
		pass

	func _link_ended(_link) -> void:
		pass

	func _ask(hosted) -> bool:
		var turn = hosted.session.next_turn()
		if turn == null:
			return false
		if turn.kind == "make":
			_make_env(hosted, turn)
		elif not hosted.env.has_method("step"):
			if turn.kind == "close":
				hosted.env = null
			_turns.append(turn)
		elif turn.kind == "close":
			_close_env(hosted)
			turn.reply()
		else:
			_answer(turn, _outcome(hosted.env, turn))
		return true

	## Asks an environment. Godot ends the function in which a call is wrong, such as one with too few arguments; this
	## one returns null then, and the turn is still answered.
	func _outcome(env, turn):
		match turn.kind:
			"reset":
				return env.reset(turn.seed_value, turn.options)
			"step":
				return env.step(turn.action)
		if env.has_method("render"):
			return env.render()
		return Failure.new("the environment cannot be rendered", "NotImplementedError")

	## Asks for an environment, and returns null in the same way.
	func _made(wanted):
		return _make.call(wanted)

	func _answer(turn, answer) -> void:
		var text: String = turn.reply(answer)
		if typeof(answer) == TYPE_OBJECT and answer is Failure:
			text = answer.message
		if text != "":
			write_log("the environment failed: " + Bytes.shown(text))

	func _make_env(hosted, turn) -> void:
		# A Callable does not keep its object alive.
		var made = Failure.new("the object whose method makes environments is gone; keep it in a variable", "Error")
		if _make.is_valid():
			made = _made(turn.make)
		_answer(turn, made)
		if hosted.session.env != null:
			hosted.env = made
			options.write_log("%s: an agent joined" % [address])
		elif typeof(made) == TYPE_OBJECT and made.has_method("close"):
			# It cannot be used, or what made it has closed the backend.
			made.close()

	func _close_env(hosted) -> void:
		var closing = hosted.env
		hosted.env = null
		if closing == null:
			return
		if not closing.has_method("step"):
			_turns.append(Turn.new(hosted.session, 0, "close", closing))
		elif closing.has_method("close"):
			closing.close()

	func _ended(hosted) -> void:
		_close_env(hosted)
		var session: EnvSession = hosted.session
		var why: String = "" if session.error == null else session.error.message
		if session.env != null:
			var because: String = "" if why == "" else ": " + why
			options.write_log("%s: the agent left after %d steps%s" % [address, session.steps, because])
		elif why != "" and not is_closed:
			write_log("a session ended before it began: " + why)
		_failures = 0 if session.steps > 0 or why == "" else _failures + 1
		_hosted.erase(hosted)

	## Logs a text the first, tenth, hundredth … time, for peers can repeat anything.
	func write_log(text: String) -> void:
		if _said.size() > 1000:
			_said.clear()
		var times: int = _said.get(text, 0) + 1
		_said[text] = times
		if times in [1, 10, 100, 1000, 10000, 100000, 1000000]:
			options.write_log("%s: %s%s" % [address, text, "" if times == 1 else " (%d times so far)" % [times]])


## Listens at `tcp://host:port` (port 0: any) for `rlay.ClientEnv`, and hosts what `make` returns for each agent. Other
## machines can dial only if there is a token, or with `?insecure_allow_remote=yes`.
class ServerBackend:
	extends Backend
	var _server = null
	var _acceptor: Acceptor

	func _init(make, where: String, how = null):
		_set_up(make, where, how, true)
		_acceptor = Acceptor.new(options)

	func problem() -> String:
		var found: String = super.problem()
		if found != "":
			return found
		if not _place.is_loopback() and options.token == "" and not _place.allows_remote:
			return (
				address + ": other machines can dial this address, and there is no token; listen on 127.0.0.1, "
				+ "set a token (RLAY_TOKEN, at both ends), or append ?insecure_allow_remote=yes"
			)
		return ""

	## Listens; from then on `address` has the real port.
	func start() -> String:
		var found: String = super.start()
		if found != "":
			return found
		var server: TCPServer = TCPServer.new()
		var host: String = "127.0.0.1" if _place.host == "localhost" else _place.host
		if server.listen(_place.port, host) != OK:
			_has_started = false
			return "cannot listen at %s" % [address]
		_server = server
		address = "tcp://%s:%d" % [_place.shown_host, server.get_local_port()]
		return ""

	func close() -> void:
		if _server != null:
			_server.stop()
		super.close()

	func _admit() -> bool:
		var moved: bool = false
		for _i in range(HANDSHAKES):
			if is_closed or not _server.is_connection_available():
				break
			var socket: StreamPeerTCP = _server.take_connection()
			if socket == null:
				# Perhaps there are no more descriptors.
				break
			_make_room()
			_links.append(Link.new(socket, _acceptor.accept()))
			moved = true
		return moved

	## Closes the oldest of too many connections without a session: an honest handshake takes milliseconds.
	func _make_room() -> void:
		var idle: Array = []
		for link in _links:
			if link.connection.session == null and not link.is_closed:
				idle.append(link)
		if idle.size() >= HANDSHAKES:
			idle[0].connection.abort(Failure.new("another dialer needs the place", "", Code.CONNECTION_LOST))
			idle[0].close()

	func _look_after(hosted) -> void:
		var session: EnvSession = hosted.session
		if session.is_lost and Time.get_ticks_msec() - session.lost_at > options.reconnect_budget():
			session.end(Failure.new("the agent did not come back", "", Code.CONNECTION_LOST))

	func _link_ended(link) -> void:
		var connection: Connection = link.connection
		if not connection.is_open and connection.error != null and connection.error.code != Code.CONNECTION_LOST:
			write_log("refused a peer: " + connection.error.message)

	func serve() -> bool:
		var moved: bool = super.serve()
		var session = _acceptor.take_new()
		while session != null:
			_hosted.append(Hosted.new(session))
			if is_closed:
				session.goodbye()
			session = _acceptor.take_new()
		return moved


## Dials `rlay.ServerEnv` at `tcp://host:port`, and again after each session. A program that an agent has launched
## leaves the address out. One session waits for an agent, up to `max_sessions` play.
class ClientBackend:
	extends Backend
	var _is_launched: bool
	var _has_dialed: bool = false
	## Whether trying again is pointless, and why, if it is no end in order. Sessions that play go on.
	var _is_refused: bool = false
	var _refusal = null
	var _next_at: int = 0

	func _init(make, where: String = "", how = null):
		var launched: String = OS.get_environment("RLAY_ADDRESS")
		_is_launched = where == "" or where == launched
		_set_up(make, launched if where == "" else where, how, false)

	func problem() -> String:
		if address == "":
			return "no address to dial, and RLAY_ADDRESS is not set"
		return super.problem()

	func _admit() -> bool:
		var now: int = Time.get_ticks_msec()
		if is_closed or _is_refused or now < _next_at or _hosted.size() >= options.max_sessions:
			return false
		for hosted in _hosted:
			if hosted.session.env == null:
				return false
		var added: Hosted = Hosted.new(EnvSession.new(options))
		_hosted.append(added)
		_dial(added)
		return true

	func _dial(hosted) -> void:
		var socket: StreamPeerTCP = StreamPeerTCP.new()
		var _begun: int = socket.connect_to_host(_place.host, _place.port)
		hosted.link = Link.new(socket, hosted.session.dial())
		_links.append(hosted.link)

	## Dials again where a connection is missing and its pause is over.
	func _look_after(hosted) -> void:
		var session: EnvSession = hosted.session
		var now: int = Time.get_ticks_msec()
		var link = hosted.link
		if session.is_over:
			return
		if link != null and link.connection.is_open:
			_has_dialed = true
			hosted.pause = FIRST_PAUSE
		if link != null and not link.is_closed:
			return
		if session.is_lost and not hosted.was_lost:
			# Connections that bring nothing but a Welcome are not made without a pause.
			var is_idle: bool = session.received == hosted.received_before
			hosted.loss_pause = _longer(hosted.loss_pause) if is_idle else 0
			hosted.received_before = session.received
			hosted.next_at = now + hosted.loss_pause
			hosted.link = null
		elif link != null:
			hosted.link = null
			hosted.next_at = now + hosted.pause
			_attempt_failed(hosted, link, now)
			hosted.pause = _longer(hosted.pause)
		hosted.was_lost = session.is_lost
		if hosted.link == null and now >= hosted.next_at and not session.is_over:
			_dial(hosted)
			hosted.was_lost = session.is_lost

	func _attempt_failed(hosted, link, now: int) -> void:
		var session: EnvSession = hosted.session
		var why: Failure = link.connection.error
		var is_pointless: bool = not why.code in [Code.CONNECTION_LOST, Code.BUSY]
		if session.is_lost:
			# Godot does not tell a refused connection from an unreachable host.
			var is_gone: bool = link.is_refused and options.reconnect_timeout < 0
			var is_late: bool = now - session.lost_at > options.reconnect_budget()
			if (is_pointless and why.code != Code.PROTOCOL) or is_gone or is_late:
				session.end(why)
		elif is_pointless:
			_is_refused = true
			_refusal = why
			session.end(why)
			options.write_log("%s: %s" % [address, why.message])
		elif _is_launched and _has_dialed and link.is_refused:
			# The agent that has launched this program is gone.
			_is_refused = true
			session.end(null)
		elif hosted.pause > LONGEST_PAUSE / 2:
			write_log("no agent takes the session yet: " + why.message)

	func _ended(hosted) -> void:
		super._ended(hosted)
		var pause: float = FIRST_PAUSE * pow(2.0, min(max(_failures - 1, 0), 20))
		_next_at = Time.get_ticks_msec() + int(min(pause, LONGEST_IDLE_PAUSE))
		if _is_refused and _hosted.size() == 0:
			error = _refusal
			is_closed = true

	func _longer(pause: int) -> int:
		return int(min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE))
