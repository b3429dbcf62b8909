## The environments of sdk/tests/GAME.md: Drift and Echo, and what makes them.
extends RefCounted

const RLay = preload("res://addons/rlay/rlay.gd")


## The generator: PCG32 (XSH-RR).
class Pcg32:
	var state: int = 0

	func _init():
		plant(0)

	func plant(low64: int) -> void:
		state = 0
		var _first: int = next()
		state += low64
		_first = next()

	func next() -> int:
		var old: int = state
		state = old * 6364136223846793005 + 109
		# Shifts keep the sign.
		var mixed: int = ((old >> 18) & 0x3fffffffffff) ^ old
		var x: int = (mixed >> 27) & 0xffffffff
		var r: int = (old >> 59) & 31
		return ((x >> r) | (x << ((32 - r) & 31))) & 0xffffffff


class Drift:
	extends RLay.Env
	var render_mode
	var random: Pcg32 = Pcg32.new()
	var t: int = 0
	var x: float = 0.0
	var v: float = 0.0
	var fuel: int = 0
	var board: PackedByteArray = PackedByteArray()
	var dials: Array = []
	var lights: Array = []

	func _init(mode):
		render_mode = mode
		metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 25}
		details = {"reward_threshold": 60.0, "nondeterministic": false, "max_episode_steps": 100}
		observation_space = RLay.Dict.new({
			"board": RLay.Box.new(0, 255, [8, 8], "uint8"),
			"dials": RLay.MultiDiscrete.new([3, 5]),
			"fuel": RLay.Discrete.new(32),
			"lights": RLay.MultiBinary.new(4),
			"position": RLay.Box.new(-INF, INF, [2], "float64"),
		})
		action_space = RLay.Discrete.new(3)

	func reset(seed_value, options):
		if typeof(seed_value) == TYPE_INT:
			random.plant(seed_value)
		elif seed_value != null:
			random.plant(seed_value.low64())
		t = 0
		x = random.next() / 2147483648.0 - 1.0
		v = 0.0
		fuel = 20 + random.next() % 12
		board = PackedByteArray()
		for _i in range(64):
			board.append(random.next() & 255)
		_lamps()
		if typeof(options) == TYPE_DICTIONARY and options.has("sleep"):
			OS.delay_msec(int(1000 * options["sleep"]))
		return [_observation(), {"seeded": seed_value != null, "options": options}]

	func step(given):
		var action = given
		if typeof(given) == TYPE_OBJECT and given is RLay.Scalar:
			action = given.value()
		if typeof(action) != TYPE_INT or action < 0 or action > 2:
			return RLay.Failure.new("an action from 0 to 2, not %s" % [action], "ValueError")
		t += 1
		v = v * 0.9375 + (action - 1) * 0.0625 + (random.next() / 4294967296.0 - 0.5) * 0.03125
		x = x + v
		if action != 1 and fuel > 0:
			fuel -= 1
		var cell: int = random.next() % 64
		board[cell] = random.next() & 255
		_lamps()
		var reward: float = 1.0 - x * x
		var terminated: bool = x > 2.0 or x < -2.0 or fuel == 0
		var info: Dictionary = {"t": t, "speed": abs(v), "far": x > 1.0 or x < -1.0, "name": "drift – é漢🎲"}
		return [_observation(), reward, terminated, t >= 100, info]

	func _lamps() -> void:
		dials = [t % 3, random.next() % 5]
		var n: int = random.next() & 15
		lights = [n & 1, (n >> 1) & 1, (n >> 2) & 1, (n >> 3) & 1]

	func _observation() -> Dictionary:
		return {
			"board": RLay.NdArray.new("uint8", [8, 8], board),
			"dials": RLay.NdArray.of("int64", [2], dials),
			"fuel": fuel,
			"lights": RLay.NdArray.of("int8", [4], lights),
			"position": RLay.NdArray.of("float64", [2], [x, v]),
		}

	func render():
		if render_mode == "ansi":
			return "t=%d" % [t]
		var pixels: PackedByteArray = PackedByteArray()
		for cell in board:
			pixels.append(cell)
			pixels.append(255 - cell)
			pixels.append(t & 255)
		return RLay.NdArray.new("uint8", [8, 8, 3], pixels)


class Echo:
	extends RLay.Env

	func _init(number: int):
		observation_space = Cases.space(number)
		action_space = observation_space

	func reset(seed_value, options):
		return [Cases.zero(observation_space), {"seeded": seed_value != null, "options": options}]

	func step(action):
		return [action, 0.5, false, false, {}]


class Cases:
	static func space(number: int):
		match number:
			0:
				return RLay.Box.new(-1, 1, [2, 3])
			1:
				return RLay.Box.new(0, 255, [4, 5, 3], "uint8")
			2:
				return RLay.Box.new(-INF, INF, [], "float64")
			3:
				return RLay.Discrete.new(5, -2)
			4:
				return RLay.MultiBinary.new([2, 3])
			5:
				return RLay.MultiDiscrete.new([3, 5, 2], [0, -1, 7])
			6:
				return RLay.Text.new(12, 1, "aé漢🎲 b")
			7:
				return RLay.Tuple.new([RLay.Discrete.new(3), RLay.Box.new(0, 1, [2], "float64")])
			8:
				var pair = RLay.Tuple.new([RLay.MultiBinary.new(3), RLay.Text.new(4)])
				return RLay.Dict.new({"a": RLay.Discrete.new(2), "b": pair})
			9:
				return RLay.Sequence.new(RLay.Box.new(0, 1, [2]))
			10:
				return RLay.Sequence.new(RLay.Discrete.new(4), true)
			11:
				return RLay.Graph.new(RLay.Box.new(-1, 1, [3]), RLay.Discrete.new(4))
			12:
				return RLay.OneOf.new([RLay.Discrete.new(3), RLay.Box.new(-1, 1, [2])])
			13:
				return RLay.Box.new(-1, 1, [3], "float16")
			14:
				return RLay.Box.new(false, true, [2], "bool")
			15:
				return RLay.Box.new(-9223372036854775807 - 1, 9223372036854775807, [2], "int64")
			16:
				return RLay.Box.new([-1, -INF], [1, 5])
		return RLay.Graph.new(RLay.Box.new(-1, 1, [2], "float64"))

	## What an Echo observes after a reset.
	static func zero(of):
		match of.tag:
			RLay.Tag.DISCRETE:
				return of.start
			RLay.Tag.MULTI_DISCRETE:
				return RLay.NdArray.of(of.dtype, of.shape, of.start)
			RLay.Tag.TEXT:
				var text: String = ""
				for _i in range(of.min_length):
					text += of.charset.substr(0, 1)
				return text
			RLay.Tag.TUPLE:
				var items: Array = []
				for member in of.spaces:
					items.append(zero(member))
				return RLay.TupleValue.new(items)
			RLay.Tag.DICT:
				var entries: Dictionary = {}
				for key in of.spaces:
					entries[key] = zero(of.spaces[key])
				return entries
			RLay.Tag.SEQUENCE:
				return RLay.NdArray.new("int64", [0]) if of.stack else RLay.TupleValue.new([])
			RLay.Tag.GRAPH:
				return RLay.GraphInstance.new(RLay.NdArray.new(of.node.dtype, [1] + of.node.shape))
			RLay.Tag.ONE_OF:
				return RLay.TupleValue.new([RLay.Scalar.new("int64", 0), zero(of.spaces[0])])
		return RLay.NdArray.new(of.dtype, of.shape)


func make_env(wanted):
	if wanted.env_id == "Echo":
		return Echo.new(wanted.kwargs["case"])
	if wanted.env_id != null and wanted.env_id != "Drift":
		return RLay.Failure.new("no environment named %s" % [wanted.env_id], "ValueError")
	if not wanted.render_mode in [null, "rgb_array", "ansi"]:
		return RLay.Failure.new("no render mode %s" % [wanted.render_mode], "ValueError")
	return Drift.new(wanted.render_mode)
