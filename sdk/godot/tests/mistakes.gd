## What a caller can do wrong: each mistake is an error that says so, and the session goes on.
extends "res://tests/cases.gd"

var wanted_env = null
var lines: Array = []


class NoReset:
	extends "res://addons/rlay/rlay.gd".Env

	func step(_action):
		return [[0, 0], 0, false, false, {}]


class TooFewArguments:
	extends "res://addons/rlay/rlay.gd".Env

	func reset():
		return [[0, 0], {}]

	func step():
		return [[0, 0], 0, false, false, {}]


class Failing:
	extends "res://addons/rlay/rlay.gd".Env
	var fails: bool = true

	func reset(_seed_value, _options):
		var nothing = null
		return nothing.reset() if fails else [[0, 0], {}]

	func step(_action):
		var nothing = null
		return nothing.step() if fails else [[0, 0], 0, false, false, {}]


func run() -> void:
	_bounds()
	_shapes()
	_counts()
	_members()
	_arrays()
	_wrong_options()
	_wrong_addresses()
	_backends()
	_environments()


## Checks that something has a problem, which has this in it.
func refused(made, text: String) -> void:
	check(made.problem.find(text) >= 0, "'%s' in the problem '%s'" % [text, made.problem])


func _bounds() -> void:
	refused(RLay.Box.new(NAN, 1, [2]), "low bound")
	refused(RLay.Box.new(0, NAN, [2]), "high bound")
	refused(RLay.Box.new(0, NAN, [2], "int32"), "high bound")
	refused(RLay.Box.new(INF, INF, []), "low bound")
	refused(RLay.Box.new(0, -INF, [2], "int8"), "high bound")
	refused(RLay.Box.new(null, 1, [2]), "bounds are numbers")
	refused(RLay.Box.new("0", 1, [2]), "bounds are numbers")
	refused(RLay.Box.new([0, "1"], [2, 2]), "bounds are numbers")
	refused(RLay.Box.new(1, 0, [2]), "above")
	refused(RLay.Box.new([0, 3], [1, 2]), "above")
	refused(RLay.Box.new(0, [1, -1]), "above")
	refused(RLay.Box.new(true, false, [2], "bool"), "above")
	refused(RLay.Box.new(RLay.BigInt.from_u64(-1), 5, [2], "uint64"), "above")
	refused(RLay.Box.new(0, 256, [2], "uint8"), "cannot hold")
	refused(RLay.Box.new(0.5, 1, [2], "int8"), "cannot hold")
	refused(RLay.Box.new([0, 0], [1, 1, 1]), "3 bounds")
	refused(RLay.Box.new(0, 1, [2], "float"), "float64")
	check(RLay.Box.new(5, RLay.BigInt.from_u64(-1), [2], "uint64").problem == "", "all of uint64")
	check(RLay.Box.new(1, 1, [2]).problem == "", "equal bounds")
	var made = RLay.Box.new(Vector2(-1, -2), Vector2(1, 2))
	check(made.problem == "" and made.shape == [2] and not made.low.is_uniform, "vectors as bounds")


func _shapes() -> void:
	for shape in [[-2], [1.5], 2, "2", [null], [1 << 40, 1 << 40]]:
		refused(RLay.Box.new(0, 1, shape), "a shape is")
		refused(RLay.MultiDiscrete.new([3], null, "int64", shape), "a shape is")
	for n in [-1, 2.5, null, "2", [2.5], [1 << 60]]:
		refused(RLay.MultiBinary.new(n), "a shape is")


func _counts() -> void:
	for n in [0, -3, 2.5, 2.0, NAN, "3", null, [3]]:
		refused(RLay.Discrete.new(n), "the count of a Discrete")
		refused(RLay.MultiDiscrete.new([3, n] if typeof(n) != TYPE_ARRAY else [3, null]), "a count of a MultiDiscrete")
	refused(RLay.Discrete.new(3, NAN), "the start")
	refused(RLay.Discrete.new(3, 0, "float32"), "float32")
	refused(RLay.Discrete.new(3, 0, ">int32"), ">int32")
	refused(RLay.MultiDiscrete.new([3, 4], [1]), "do not fit")
	refused(RLay.MultiDiscrete.new([3, 4], [1, 0.5]), "a start")
	for n in [-1, NAN, 2.5, null, "2"]:
		refused(RLay.Text.new(n), "the longest length")
		refused(RLay.Text.new(2, n), "the shortest length")
	refused(RLay.Text.new(2, 3), "texts of 3 to 2")
	check(RLay.Text.new(RLay.BigInt.from_u64(-1)).problem == "", "a very long text")


func _members() -> void:
	for member in [null, 5, "space", {}, RLay.TupleValue.new([])]:
		refused(RLay.Tuple.new([member]), "a member of a space")
		refused(RLay.OneOf.new([member]), "a member of a space")
		refused(RLay.Dict.new({"a": member}), "a member of a space")
	refused(RLay.Sequence.new(null), "a member of a space")
	refused(RLay.Graph.new(null), "a member of a space")
	refused(RLay.OneOf.new([]), "no spaces")
	refused(RLay.Dict.new({Vector2(1, 2): RLay.Discrete.new(2)}), "keys")
	refused(RLay.Tuple.new([RLay.Discrete.new(-3)]), "the count of a Discrete")


func _arrays() -> void:
	refused(RLay.NdArray.new("float32", [4], RLay.Bytes.zeros(6)), "which takes 16")
	refused(RLay.NdArray.new("uint8", [2], [1, 2]), "NdArray.of")
	refused(RLay.NdArray.new("float", [2]), "dtype")
	refused(RLay.NdArray.new("int8", [-1]), "shape")
	refused(RLay.NdArray.of("float32", [1], ["a"]), "no numbers")
	refused(RLay.NdArray.of("int8", [1], [NAN]), "no numbers")
	refused(RLay.Scalar.new("int8", 128), "no scalar")


func _wrong_options() -> void:
	for entry in [
		["token", "seven 7"], ["token", "\t           \n"], ["max_sessions", 0], ["max_frame", -1],
		["max_frame", 1 << 40], ["reconnect_timeout", -2], ["silence_timeout", -1], ["kwargs", [1]],
		["log_to", "file"], ["log_to", Callable(self, "no_such_method")],
	]:
		var options = _options()
		options.set(entry[0], entry[1])
		check(options.problem().find(entry[0]) >= 0, "a problem of %s: '%s'" % [entry[0], options.problem()])
	for options in [{"token": "a token of these tests"}, 5, "x"]:
		var backend = RLay.ServerBackend.new(Callable(self, "_make_it"), "tcp://127.0.0.1:0", options)
		check(backend.start().find("RLay.Options") >= 0, "options that are none: %s" % [options])


func _wrong_addresses() -> void:
	var make: Callable = Callable(self, "_make_it")
	for text in [
		"", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://localhost:-1", "tcp://localhost:+1",
		"tcp://localhost:70000", "tcp://localhost: 5", "tcp://::1:5005", "tcp://[]:5005", "tcp://127.0.0.1:0?mtu=9",
		"tcp://127.0.0.1:0/path", "tcp://a/b:5005", "tcp://localhost:99999999999999999999",
	]:
		check(RLay.ServerBackend.new(make, text, _options()).start() != "", "no address to listen at: " + text)
		check(RLay.ClientBackend.new(make, text, _options()).start() != "", "no address to dial: " + text)
	for text in ["unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005", "ws://127.0.0.1:5005"]:
		var problem: String = RLay.ServerBackend.new(make, text, _options()).start()
		check(problem.find("use tcp:// at both ends") >= 0, "an address of another transport: " + text)


func _backends() -> void:
	for make in [null, 5, "make", Callable(self, "no_such_method")]:
		var problem: String = RLay.ServerBackend.new(make, "tcp://127.0.0.1:0", _options()).start()
		check(problem.find("Callable") >= 0, "nothing that makes environments: %s" % [make])
	var dialing = RLay.ClientBackend.new(Callable(self, "_make_it"), "tcp://127.0.0.1:1", _options())
	check(dialing.poll() == null and dialing._links.size() == 0, "nothing is dialed before the start")
	check(dialing.start() == "" and dialing.start().find("already") >= 0, "a second start")
	dialing.close()
	dialing.close()
	check(dialing.start().find("closed") >= 0, "a start behind the end")
	var session = RLay.EnvSession.new(_options())
	session.goodbye()
	session.goodbye()
	session.end(null)
	check(session.next_turn() == null and session.is_over, "a session that is ended twice")


func _make_it(_wanted):
	return wanted_env


func _make_without_arguments():
	return wanted_env


func _keep(line: String) -> void:
	lines.append(line)


## Hosts an environment; returns the agent, its connection, the backend, the session and the answer to Make.
func _hosted(env, make: String = "_make_it") -> Array:
	wanted_env = env
	if typeof(env) == TYPE_OBJECT and env is RLay.Env:
		env.observation_space = RLay.Box.new(-1, 1, [2])
		env.action_space = RLay.Discrete.new(3)
	var options = _options()
	options.log_to = Callable(self, "_keep")
	var backend = RLay.ServerBackend.new(Callable(self, make), "tcp://127.0.0.1:0", options)
	var acceptor = RLay.Acceptor.new(options)
	var agent = Agent.new()
	var connection = acceptor.accept()
	connection.receive(agent.hello())
	check(agent.take(connection) == [RLay.Kind.WELCOME], "Welcome answers Hello")
	var hosted = RLay.Hosted.new(acceptor.take_new())
	return [agent, connection, backend, hosted, _ask(agent, connection, backend, hosted, agent.make())]


## Returns the kinds of the frames that answer a request.
func _ask(agent, connection, backend, hosted, request: PackedByteArray) -> Array:
	connection.receive(request)
	var _asked: bool = backend._ask(hosted)
	return agent.take(connection)


func _environments() -> void:
	var spaceless = RLay.Env.new()
	for env in [null, 5, "env", {}, RLay.TupleValue.new([]), NoReset.new()]:
		var hosted: Array = _hosted(env)
		check(hosted[4] == [RLay.Kind.ERROR] and hosted[0].code() == 9, "no environment: %s" % [env])
		wanted_env = spaceless
		var answer: Array = _ask(hosted[0], hosted[1], hosted[2], hosted[3], hosted[0].make())
		check(answer == [RLay.Kind.ERROR] and hosted[0].code() == 9, "an environment without spaces")
	check(_hosted(_env(), "_make_without_arguments")[4] == [RLay.Kind.ERROR], "a maker that takes nothing")
	for env in [TooFewArguments.new(), Failing.new()]:
		var hosted: Array = _hosted(env)
		check(hosted[4] == [RLay.Kind.SPEC], "an environment is made")
		var answer: Array = _ask(hosted[0], hosted[1], hosted[2], hosted[3], hosted[0].reset())
		check(answer == [RLay.Kind.ERROR] and hosted[0].code() == 9, "a reset that fails")
	var failing = Failing.new()
	failing.fails = false
	var hosted: Array = _hosted(failing)
	var answer: Array = _ask(hosted[0], hosted[1], hosted[2], hosted[3], hosted[0].reset())
	check(answer == [RLay.Kind.RESULT], "a reset")
	for fails in [true, false]:
		failing.fails = fails
		answer = _ask(hosted[0], hosted[1], hosted[2], hosted[3], hosted[0].step(1))
		check(answer == [RLay.Kind.ERROR if fails else RLay.Kind.RESULT], "a step that fails, and one that does not")
	check(lines.size() > 0, "failures are logged")
