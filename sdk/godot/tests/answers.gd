## What the program `vectors` of sdk/tests/GAME.md answers to each line.
extends RefCounted

const RLay = preload("res://addons/rlay/rlay.gd")
const SHORT: Array = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64"]
const KINDS: Dictionary = {
	1: "Hello", 2: "Challenge", 3: "Proof", 4: "Welcome", 5: "Reject", 9: "Goodbye", 10: "Error",
	0x20: "Make", 0x21: "Reset", 0x22: "Step", 0x23: "Render", 0x24: "Attribute", 0x25: "Close",
}


## Texts of JSON, made piece by piece: JSON of Godot has no integers of 64 bits.
class Json:
	static func text(x) -> String:
		if typeof(x) != TYPE_OBJECT:
			return "\"" + inside(str(x)) + "\""
		# What Godot's decoder of UTF-8 stops at or drops: NUL and U+FEFF at the start.
		var bytes: PackedByteArray = x.bytes
		var result: String = ""
		if bytes.size() >= 3 and bytes[0] == 0xef and bytes[1] == 0xbb and bytes[2] == 0xbf:
			result = "\\ufeff"
			bytes = RLay.Bytes.part(bytes, 3, bytes.size())
		var piece: PackedByteArray = PackedByteArray()
		for byte in bytes:
			if byte == 0:
				result += inside(piece.get_string_from_utf8()) + "\\u0000"
				piece = PackedByteArray()
			else:
				piece.append(byte)
		return "\"" + result + inside(piece.get_string_from_utf8()) + "\""

	static func inside(x: String) -> String:
		var result: String = ""
		for i in range(x.length()):
			var c: int = x.unicode_at(i)
			if c == 34 or c == 92:
				result += "\\" + x.substr(i, 1)
			elif c < 32 or c == 0xfeff:
				result += "\\u%04x" % [c]
			else:
				result += x.substr(i, 1)
		return result

	static func list(items: Array) -> String:
		var result: String = ""
		for item in items:
			result += ("" if result == "" else ",") + str(item)
		return "[" + result + "]"

	static func entries(pairs: Array) -> String:
		var result: String = ""
		for i in range(0, pairs.size(), 2):
			result += ("" if result == "" else ",") + "\"%s\":" % [pairs[i]] + str(pairs[i + 1])
		return "{" + result + "}"

	static func flag(x: bool) -> String:
		return "true" if x else "false"

	## A u64 by its bits.
	static func u64(x: int) -> String:
		if x >= 0:
			return str(x)
		var half: int = (x >> 1) & 0x7fffffffffffffff
		return str(half / 5) + str(x - (half / 5) * 10)

	static func u64s(items: Array) -> Array:
		var result: Array = []
		for item in items:
			result.append(u64(item))
		return result

	static func hex(bytes: PackedByteArray) -> String:
		return "\"" + bytes.hex_encode() + "\""

	static func bytes_or_null(bytes) -> String:
		return "null" if bytes == null else list(Array(bytes))

	static func or_null(x) -> String:
		return "null" if x == null else u64(x)

	static func text_or_null(x) -> String:
		return "null" if x == null else text(x)


class Meaning:
	static func dtype(type: String) -> Array:
		var code: int = RLay.Dtypes.code(type)
		return ["dtype", "\"" + SHORT[code & 255] + "\"", "big_endian", Json.flag(code > 255)]

	static func array(type: String, shape: Array, data: PackedByteArray) -> String:
		return Json.entries(dtype(type) + ["shape", Json.list(Json.u64s(shape)), "data", Json.hex(data)])

	static func values(items: Array) -> String:
		var result: Array = []
		for item in items:
			result.append(value(item))
		return Json.list(result)

	static func pairs(entries: Dictionary) -> String:
		var result: Array = []
		for key in entries:
			result.append(Json.list([value(key), value(entries[key])]))
		return Json.list(result)

	static func value(x) -> String:
		match typeof(x):
			TYPE_NIL:
				return "\"None\""
			TYPE_BOOL:
				return Json.entries(["Bool", Json.flag(x)])
			TYPE_INT:
				return Json.entries(["Int", str(x)])
			TYPE_FLOAT:
				var w = RLay.Writer.new()
				w.f64(x)
				var bits: PackedByteArray = w.finish()
				var reversed: PackedByteArray = PackedByteArray()
				for i in range(8):
					reversed.append(bits[11 - i])
				return Json.entries(["Float", Json.hex(reversed)])
			TYPE_STRING:
				return Json.entries(["Str", Json.text(x)])
			TYPE_PACKED_BYTE_ARRAY:
				return Json.entries(["Bytes", Json.hex(x)])
			TYPE_ARRAY:
				return Json.entries(["List", values(x)])
			TYPE_DICTIONARY:
				return Json.entries(["Dict", pairs(x)])
		if x is RLay.BigInt:
			return Json.entries(["BigInt", Json.hex(x.bytes)])
		if x is RLay.RawText:
			return Json.entries(["Str", Json.text(x)])
		if x is RLay.TupleValue:
			return Json.entries(["Tuple", values(x.items)])
		if x is RLay.NdArray:
			return Json.entries(["Array", array(x.dtype, x.shape, x.data)])
		if x is RLay.Scalar:
			return Json.entries(["Scalar", array(x.dtype, [], x.data)])
		if x is RLay.GraphInstance:
			var parts: Array = ["nodes", value(x.nodes), "edges", value(x.edges), "edge_links", value(x.edge_links)]
			return Json.entries(["Graph", Json.entries(parts)])
		return Json.entries(["Opaque", Json.entries(["type_name", Json.text(x.type_name), "repr", Json.text(x.repr)])])

	static func bound(x) -> String:
		var flags: Array = []
		for byte in x.bounded:
			flags.append(Json.flag(byte == 1))
		if x.is_uniform:
			return Json.entries(["Uniform", Json.entries(["value", Json.hex(x.values), "bounded", flags[0]])])
		return Json.entries(["Each", Json.entries(["values", Json.hex(x.values), "bounded", Json.list(flags)])])

	static func spaces(items: Array) -> String:
		var result: Array = []
		for item in items:
			result.append(space(item))
		return Json.list(result)

	static func space(x) -> String:
		match x.tag:
			RLay.Tag.BOX:
				var sides: Array = ["shape", Json.list(Json.u64s(x.shape)), "low", bound(x.low), "high", bound(x.high)]
				return Json.entries(["Box", Json.entries(dtype(x.dtype) + sides)])
			RLay.Tag.DISCRETE:
				var integers: Array = ["dtype", dtype(x.dtype)[1], "n", Json.u64(x.n), "start", str(x.start)]
				return Json.entries(["Discrete", Json.entries(integers)])
			RLay.Tag.MULTI_BINARY:
				var fields: Array = ["shape", Json.list(Json.u64s(x.shape)), "n_is_int", Json.flag(x.is_int)]
				return Json.entries(["MultiBinary", Json.entries(fields)])
			RLay.Tag.MULTI_DISCRETE:
				var lists: Array = ["nvec", Json.list(x.nvec), "start", Json.list(x.start)]
				lists = ["shape", Json.list(Json.u64s(x.shape))] + lists
				return Json.entries(["MultiDiscrete", Json.entries(dtype(x.dtype) + lists)])
			RLay.Tag.TEXT:
				var lengths: Array = ["min_length", Json.u64(x.min_length), "max_length", Json.u64(x.max_length)]
				return Json.entries(["Text", Json.entries(lengths + ["charset", Json.text(x.charset)])])
			RLay.Tag.TUPLE:
				return Json.entries(["Tuple", spaces(x.spaces)])
			RLay.Tag.DICT:
				var members: Array = []
				for key in x.spaces:
					members.append(Json.list([value(key), space(x.spaces[key])]))
				return Json.entries(["Dict", Json.list(members)])
			RLay.Tag.SEQUENCE:
				return Json.entries(["Sequence", Json.entries(["space", space(x.space), "stack", Json.flag(x.stack)])])
			RLay.Tag.GRAPH:
				var edge: String = "null" if x.edge == null else space(x.edge)
				return Json.entries(["Graph", Json.entries(["node", space(x.node), "edge", edge])])
		return Json.entries(["OneOf", spaces(x.spaces)])


## Reads a space, which the client never receives.
class SpaceReader:
	static func space(r):
		r.enter()
		var found = _space(r) if r.error == "" else RLay.Discrete.new(1)
		r.leave()
		if r.error == "" and found.problem != "":
			r.refuse(found.problem)
		return found

	static func _bound(r, type: String, elements: int):
		var form: int = r.u32()
		if form > 1:
			r.refuse("an unknown form of a bound")
			return RLay.Bound.new(true, PackedByteArray(), PackedByteArray())
		var n: int = elements if form == 1 else 1
		var size: int = RLay.Dtypes.size(type)
		if n > 65536 or not r.has(n * size + n):
			r.refuse("a bound that is cut off")
			return RLay.Bound.new(true, PackedByteArray(), PackedByteArray())
		var values: PackedByteArray = r.elements(type, n * size)
		return RLay.Bound.new(form == 0, values, r.elements("bool", n))

	static func _count(r):
		var bits: int = r.i64()
		return bits if bits >= 0 else RLay.BigInt.from_u64(bits)

	static func _spaces(r) -> Array:
		var members: Array = []
		for _i in range(r.count(4)):
			members.append(space(r))
			if r.error != "":
				break
		return members

	static func _space(r):
		match r.u32():
			RLay.Tag.BOX:
				var type: String = r.dtype()
				var shape: Array = r.shape()
				if RLay.Dtypes.bytes_of(shape, RLay.Dtypes.size(type)) < 0:
					r.refuse("a shape of too many elements")
				var n: int = RLay.Dtypes.bytes_of(shape, 1)
				var low = _bound(r, type, n)
				var high = _bound(r, type, n)
				return RLay.Box.new(low, high, shape, type)
			RLay.Tag.DISCRETE:
				var type: String = r.dtype()
				var n = _count(r)
				return RLay.Discrete.new(n, r.i64(), type)
			RLay.Tag.MULTI_BINARY:
				var made = RLay.MultiBinary.new(r.shape())
				made.is_int = r.flag()
				return made
			RLay.Tag.MULTI_DISCRETE:
				var type: String = r.dtype()
				var shape: Array = r.shape()
				var counts: Array = r.shape()
				return RLay.MultiDiscrete.new(counts, r.shape(), type, shape)
			RLay.Tag.TEXT:
				var least = _count(r)
				var most = _count(r)
				var charset = r.text()
				if typeof(charset) != TYPE_STRING:
					r.refuse("a charset that no String can hold")
					charset = ""
				return RLay.Text.new(most, least, charset)
			RLay.Tag.TUPLE:
				return RLay.Tuple.new(_spaces(r))
			RLay.Tag.DICT:
				var members: Dictionary = {}
				for _i in range(r.count(8)):
					var key = r.key()
					members[key] = space(r)
					if r.error != "":
						break
				return RLay.Dict.new(members)
			RLay.Tag.SEQUENCE:
				var stack: bool = r.flag()
				return RLay.Sequence.new(space(r), stack)
			RLay.Tag.GRAPH:
				var node = space(r)
				return RLay.Graph.new(node, space(r) if r.flag() else null)
			RLay.Tag.ONE_OF:
				return RLay.OneOf.new(_spaces(r))
		r.refuse("an unknown space tag")
		return RLay.Discrete.new(1)


func _unhex(text: String) -> PackedByteArray:
	var bytes: PackedByteArray = PackedByteArray()
	var digits: PackedByteArray = text.to_utf8_buffer()
	for i in range(0, digits.size(), 2):
		bytes.append((_digit(digits[i]) << 4) | _digit(digits[i + 1]))
	return bytes


func _digit(c: int) -> int:
	return c - 48 if c < 58 else c - 87


func _ok(meaning: String, w) -> String:
	var written: PackedByteArray = w.finish()
	if w.error != "":
		return "refused " + w.error
	return "ok %s %s" % [meaning, RLay.Bytes.part(written, 4, written.size()).hex_encode()]


func answer(line: String) -> String:
	var words: Array = Array(line.split(" "))
	var bytes: PackedByteArray = _unhex(words[words.size() - 1])
	var r = RLay.Reader.new(bytes)
	var w = RLay.Writer.new()
	w.allows_opaque = true
	match words[0]:
		"value":
			var found = r.value()
			r.end()
			if r.error != "":
				return "refused " + r.error
			w.value(found)
			return _ok(Meaning.value(found), w)
		"space":
			var found = SpaceReader.space(r)
			r.end()
			if r.error != "":
				return "refused " + r.error
			w.space(found)
			return _ok(Meaning.space(found), w)
		"payload":
			var space = SpaceReader.space(RLay.Reader.new(_unhex(words[1])))
			var rows: Array = RLay.Packing.read(r, space, int(words[2]))
			r.end()
			if r.error != "":
				return "refused " + r.error
			for row in rows:
				if not RLay.Packing.fits(space, row):
					return "refused not packed again"
			RLay.Packing.write(w, space, rows, w.at())
			return _ok(Meaning.values(rows), w)
		"frame":
			return _frame(bytes)
	return _stream(bytes)


func _stream(bytes: PackedByteArray) -> String:
	var stream = RLay.FrameReader.new()
	var frames: String = ""
	stream.push(bytes)
	var frame = stream.next()
	while frame != null:
		frames += ("" if frames == "" else ",") + frame.hex_encode()
		frame = stream.next()
	if stream.error != "" or not stream.is_between_frames():
		return "refused " + (stream.error if stream.error != "" else "a stream that ends inside of a frame")
	return "ok %s %s" % [frames, "closed" if stream.is_closed else "open"]


func _frame(bytes: PackedByteArray) -> String:
	var message: Dictionary = RLay.Messages.read(bytes)
	if message["error"] != "":
		return "refused " + message["error"]
	var body = message["body"]
	if body == null:
		return "unread"
	var kind: int = message["kind"]
	if kind == RLay.Kind.STEP and typeof(body["payload"]) == TYPE_OBJECT:
		return "refused " + body["payload"].message
	var w = RLay.Writer.new()
	w.header(kind, message["seq"], message["ack"], message["re"])
	var payload: Array = []
	var of: String = ""
	match kind:
		RLay.Kind.HELLO:
			of = Json.entries([
				"wire_min", body["wire_min"], "wire_max", body["wire_max"],
				"role", "\"Env\"" if body["role"] == 1 else "\"Agent\"", "auth", body["auth"],
				"features", Json.u64(body["features"]), "max_frame", Json.u64(body["max_frame"]),
				"peer", Json.text(body["peer"]), "nonce", Json.bytes_or_null(body["nonce"]), "resume", _resume(body),
			])
			w = RLay.Messages.hello(body)
		RLay.Kind.CHALLENGE:
			of = Json.entries(["nonce", Json.bytes_or_null(body["nonce"])])
			w = RLay.Messages.challenge(kind, body["nonce"])
		RLay.Kind.PROOF:
			of = Json.entries(["proof", Json.bytes_or_null(body["proof"])])
			w = RLay.Messages.challenge(kind, body["proof"])
		RLay.Kind.WELCOME:
			of = Json.entries([
				"wire", body["wire"], "features", Json.u64(body["features"]), "max_frame", Json.u64(body["max_frame"]),
				"peer", Json.text(body["peer"]), "proof", Json.bytes_or_null(body["proof"]),
				"ticket", Json.bytes_or_null(body["ticket"]), "received", Json.or_null(body["received"]),
			])
			w = RLay.Messages.welcome(body)
		RLay.Kind.REJECT:
			var wires: Array = ["wire_min", body["wire_min"], "wire_max", body["wire_max"]]
			of = Json.entries(["code", body["code"]] + wires + ["message", Json.text(body["message"])])
			w = RLay.Messages.reject(body["code"], body["message"], body["wire_min"], body["wire_max"])
		RLay.Kind.GOODBYE:
			of = Json.entries(["code", body["code"], "message", Json.text(body["message"])])
			RLay.Messages.goodbye(w, body["code"], body["message"])
		RLay.Kind.ERROR:
			var failure = RLay.Failure.new(body["message"], body["error_type"], body["code"])
			failure.traceback = body["traceback"]
			RLay.Messages.failure(w, failure, body["fatal"], body["slots"])
			var texts: Array = ["error_type", Json.text(body["error_type"]), "message", Json.text(body["message"])]
			texts = texts + ["traceback", Json.text(body["traceback"])]
			of = Json.entries([
				"code", body["code"], "fatal", Json.flag(body["fatal"]), "slots", Json.list(body["slots"]),
				"failure", Json.entries(texts),
			])
		RLay.Kind.MAKE:
			of = _make(w, body)
		RLay.Kind.RESET:
			of = _reset(w, body)
		RLay.Kind.STEP:
			of = Json.list(body["slots"])
			payload = ["payload", _payload(w, body)]
		RLay.Kind.ATTRIBUTE:
			of = _attribute(w, body)
		_:
			of = Json.list(body["slots"])
			w.slots(body["slots"])
	var head: Array = ["kind", "\"" + KINDS[kind] + "\""]
	for number in ["seq", "ack", "re"]:
		head = head + [number, Json.u64(message[number])]
	var meaning: String = Json.entries(head + ["body", of] + payload)
	if typeof(w) == TYPE_PACKED_BYTE_ARRAY:
		return "ok %s %s" % [meaning, RLay.Bytes.part(w, 4, w.size()).hex_encode()]
	return _ok(meaning, w)


func _resume(body) -> String:
	if body["ticket"] == null:
		return "null"
	return Json.entries(["ticket", Json.bytes_or_null(body["ticket"]), "received", Json.u64(body["received"])])


func _make(w, body) -> String:
	w.optional_text(body["env_id"])
	w.value(body["kwargs"])
	w.optional_text(body["render_mode"])
	w.u32(body["slots"])
	w.u8(body["autoreset"])
	return Json.entries([
		"env_id", Json.text_or_null(body["env_id"]), "kwargs", Meaning.value(body["kwargs"]),
		"render_mode", Json.text_or_null(body["render_mode"]), "slots", body["slots"],
		"autoreset_mode", ["\"Disabled\"", "\"NextStep\"", "\"SameStep\""][body["autoreset"]],
	])


## The bytes of a seed: without zeros at its end.
func _seed(x) -> PackedByteArray:
	var w = RLay.Writer.new()
	if typeof(x) == TYPE_INT:
		w.u64(x)
	else:
		w.raw(x.bytes)
	var bytes: PackedByteArray = w.finish()
	var end: int = bytes.size()
	while end > 4 and bytes[end - 1] == 0:
		end -= 1
	return RLay.Bytes.part(bytes, 4, end)


func _reset(w, body) -> String:
	var rows: Array = []
	w.u64(body["slots"].size())
	for i in range(body["slots"].size()):
		var seed_value = body["seeds"][i]
		w.u32(body["slots"][i])
		w.flag(seed_value != null)
		if seed_value != null:
			w.blob(_seed(seed_value))
		rows.append(Json.list([body["slots"][i], "null" if seed_value == null else Json.hex(_seed(seed_value))]))
	w.value(body["options"])
	return Json.entries(["rows", Json.list(rows), "options", Meaning.value(body["options"])])


func _payload(w, body) -> String:
	w.slots(body["slots"])
	var payload = body["payload"]
	if typeof(payload) == TYPE_ARRAY:
		w.u32(1)
		for x in payload:
			w.value(x)
		return Json.entries(["Values", Meaning.values(payload)])
	w.u32(0)
	w.u64(payload.size())
	var pad: int = (64 - (w.at() + 4) % 64) % 64
	w.u32(pad)
	w.zeros(pad)
	w.raw(payload)
	return Json.entries(["Packed", Json.hex(payload)])


func _attribute(w, body) -> String:
	w.slots(body["slots"])
	w.text(body["name"])
	w.u8(body["access"])
	var access: String = "\"Get\""
	if body["access"] > 0:
		w.values(body["values"])
		access = Json.entries(["Set", Meaning.values(body["values"])])
	if body["access"] == 2:
		w.value(body["kwargs"])
		access = Json.entries(["Call", Json.list([Meaning.values(body["values"]), Meaning.pairs(body["kwargs"])])])
	return Json.entries(["slots", Json.list(body["slots"]), "name", Json.text(body["name"]), "access", access])
