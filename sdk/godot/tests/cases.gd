## What the Python tests cannot see: sessions without sockets, turns that are answered later, proofs, plain values.
extends RefCounted

const RLay = preload("res://addons/rlay/rlay.gd")

var failed: Array = []
var passed: int = 0


## An agent that writes frames; what it is sent is kept in `frames`.
class Agent:
	var frames: Array = []
	var sent: int = 0

	func frame(kind: int):
		sent += 1
		var w = RLay.Writer.new()
		w.header(kind, sent)
		return w

	func hello(ticket = null, received = null) -> PackedByteArray:
		return RLay.Messages.hello({
			"wire_min": 0, "wire_max": 0, "role": 0, "auth": 0, "features": 1 if ticket == null else 3,
			"max_frame": 1 << 20, "peer": "test", "nonce": null, "ticket": ticket, "received": received,
		})

	func make() -> PackedByteArray:
		var w = frame(RLay.Kind.MAKE)
		w.u8(0)
		w.value({})
		w.u8(0)
		w.u32(1)
		w.u8(0)
		return w.finish()

	func reset() -> PackedByteArray:
		var w = frame(RLay.Kind.RESET)
		w.u64(1)
		w.u32(0)
		w.u8(0)
		w.value(null)
		return w.finish()

	func step(action) -> PackedByteArray:
		var w = frame(RLay.Kind.STEP)
		w.slots([0])
		w.payload(RLay.Discrete.new(3), [action])
		return w.finish()

	## Takes what a connection has to send; returns the kinds of the frames.
	func take(connection) -> Array:
		var reader = RLay.FrameReader.new()
		reader.limit = 1 << 20
		var kinds: Array = []
		var bytes = connection.take()
		while bytes != null:
			reader.push(bytes)
			var found = reader.next()
			while found != null:
				frames.append(found)
				kinds.append(found[0])
				found = reader.next()
			bytes = connection.take()
		return kinds

	## The code of the Error that came last.
	func code() -> int:
		return RLay.Messages.read(frames[frames.size() - 1])["body"]["code"]


func run() -> void:
	_proofs()
	_a_session()
	_numbers_in_the_handshake()
	_what_cannot_be_sent()
	_resuming()
	_values()
	_addresses()


func check(is_so: bool, what: String) -> void:
	if is_so:
		passed += 1
	else:
		failed.append(what)


func _env():
	var env = RLay.Env.new()
	env.observation_space = RLay.Box.new(-1, 1, [2])
	env.action_space = RLay.Discrete.new(3)
	return env


func _options():
	var options = RLay.Options.new()
	options.token = ""
	return options


## Returns an acceptor, an agent, their connection and the session, with an environment.
func _opened() -> Array:
	var acceptor = RLay.Acceptor.new(_options())
	var agent = Agent.new()
	var connection = acceptor.accept()
	connection.receive(agent.hello())
	check(agent.take(connection) == [RLay.Kind.WELCOME], "Welcome answers Hello")
	var session = acceptor.take_new()
	connection.receive(agent.make())
	check(session.next_turn().reply(_env()) == "", "an environment is made")
	check(agent.take(connection) == [RLay.Kind.SPEC], "Spec answers Make")
	return [acceptor, agent, connection, session]


func _proofs() -> void:
	var inner: Array = ["abc".to_utf8_buffer()]
	var wanted: String = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	check(RLay.Tokens.sha256(inner).hex_encode() == wanted, "SHA-256 of abc")
	# RFC 4231, test case 1.
	var key: PackedByteArray = PackedByteArray()
	for _i in range(20):
		key.append(0x0b)
	wanted = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
	check(RLay.Tokens.hmac(key, ["Hi There".to_utf8_buffer()]).hex_encode() == wanted, "HMAC-SHA256")
	check(RLay.Tokens.random32().size() == 32, "random bytes")
	check(RLay.Tokens.random32() != RLay.Tokens.random32(), "other random bytes")


func _a_session() -> void:
	var opened: Array = _opened()
	var agent = opened[1]
	var connection = opened[2]
	var session = opened[3]
	connection.receive(agent.step(1))
	check(agent.take(connection) == [RLay.Kind.ERROR] and agent.code() == 2, "a step before a reset")
	connection.receive(agent.reset())
	var turn = session.next_turn()
	check(turn.kind == "reset" and session.next_turn() == null, "a turn is given once")
	connection.receive(agent.step(1))
	check(agent.take(connection) == [RLay.Kind.ERROR] and agent.code() == 5, "Busy while an answer is owed")
	check(turn.reply([[0.5, -0.5], {}]) == "", "a plain observation")
	check(agent.take(connection) == [RLay.Kind.RESULT], "Result answers Reset")
	check(not turn.is_open() and turn.reply([[0, 0], {}]) == "", "a second answer does nothing")
	check(agent.take(connection) == [], "nothing was sent")
	connection.receive(agent.step(RLay.Scalar.new("int64", 2)))
	turn = session.next_turn()
	check(typeof(turn.action) == TYPE_INT and turn.action == 2, "a Scalar is a number")
	turn.fail("no")
	check(agent.take(connection) == [RLay.Kind.ERROR] and agent.code() == 9, "a failure")
	connection.receive(RLay.Bytes.part(agent.step(1), 0, 20))
	connection.lost()
	check(session.is_lost and not session.is_over, "a lost connection can be resumed")


func _numbers_in_the_handshake() -> void:
	var welcome: PackedByteArray = RLay.Messages.welcome({
		"wire": 0, "features": 0, "max_frame": 1 << 20, "peer": "test", "proof": null, "ticket": null,
		"received": null,
	})
	for number in [0, 1]:
		# The length takes four bytes, and the number stands eight bytes behind it.
		welcome[12] = number
		var session = RLay.EnvSession.new(_options())
		var connection = session.dial()
		connection.receive(welcome)
		check(connection.is_open == (number == 0), "a Welcome of number %d" % [number])
		check(connection.is_aborted == (number == 1), "the end of it for number %d" % [number])


func _what_cannot_be_sent() -> void:
	for answer in [[[1, 2, 3], {}], [["a", "b"], {}], null, [[0, 0], null], [[0, 0], {[1]: 2}]]:
		var opened: Array = _opened()
		opened[2].receive(opened[1].reset())
		var turn = opened[3].next_turn()
		check(turn.reply(answer) != "", "refused: %s" % [answer])
		check(opened[1].take(opened[2]) == [RLay.Kind.ERROR] and opened[1].code() == 9, "an error: %s" % [answer])
	var opened: Array = _opened()
	opened[2].receive(opened[1].reset())
	var large: Dictionary = {"large": RLay.NdArray.new("uint8", [1 << 20])}
	check(opened[3].next_turn().reply([[0, 0], large]) != "", "too long a frame")
	check(opened[1].take(opened[2]) == [RLay.Kind.ERROR] and opened[1].code() == 1, "Usage for too long a frame")


func _resuming() -> void:
	var opened: Array = _opened()
	var acceptor = opened[0]
	var agent = opened[1]
	var session = opened[3]
	opened[2].receive(agent.reset())
	opened[2].lost()
	check(session.next_turn().reply([[0, 0], {}]) == "", "an answer while the connection is lost")
	var again = acceptor.accept()
	again.receive(agent.hello(session.ticket, 1))
	check(agent.take(again) == [RLay.Kind.WELCOME, RLay.Kind.RESULT], "the answer is sent over the next connection")
	var later = acceptor.accept()
	later.receive(agent.hello(session.ticket, 7))
	check(session.is_over and later.is_aborted, "more received than sent ends the session")
	var unknown = acceptor.accept()
	unknown.receive(agent.hello(RLay.Tokens.random32(), 0))
	check(agent.take(unknown) == [RLay.Kind.REJECT], "an unknown ticket is refused")


func _values() -> void:
	for x in [0.5, 1.0, -2.25, 65504.0, 0.00006103515625, pow(2.0, -24)]:
		check(RLay.Dtypes.from_float16(RLay.Dtypes.to_float16(x)) == x, "float16 %s" % [x])
	check(RLay.Dtypes.to_float16(65520.0) == 0x7c00, "float16 of a large number")
	check(RLay.NdArray.of("uint8", [1], [256]).problem != "", "256 is no uint8")
	check(RLay.NdArray.of("int16", [2, 2], [[1, -2], [3, 4]]).at([0, 1]) == -2, "an element by its indices")
	check(RLay.NdArray.of("float32", [2], Vector2(1, 2)).numbers() == [1.0, 2.0], "a vector")
	var made = RLay.Fitting.plain({"a": RLay.TupleValue.new([RLay.Scalar.new("bool", true)])})
	check(made["a"] == [true], "a plain value")
	check(RLay.Bytes.cut("éééééééééé", 10).size() <= 10, "a text that is cut")
	check(RLay.Box.new(0, 300, [2], "uint8").problem != "", "a bound that does not fit")
	var w = RLay.Writer.new()
	w.value(-0.0)
	check(w.finish().hex_encode().ends_with("0000000000000080"), "the sign of -0.0")


func _addresses() -> void:
	check(RLay.Address.new("tcp://127.0.0.1:5005", true).problem == "", "an address")
	check(RLay.Address.new("tcp://[::1]:5005", true).host == "::1", "IPv6")
	for text in ["unix:///tmp/x", "shm://x", "127.0.0.1:5005", "tcp://127.0.0.1", "tcp://x:99999", "tcp://x:1?y=z"]:
		check(RLay.Address.new(text, true).problem != "", "no address: " + text)
	var backend = RLay.ServerBackend.new(Callable(self, "_env"), "tcp://0.0.0.0:0", _options())
	check(backend.problem().find("insecure_allow_remote") > 0, "other machines need a token")
