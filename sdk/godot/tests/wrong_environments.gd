## Environments that are written in a wrong way, for mistakes.gd.
extends RefCounted

const RLay = preload("res://addons/rlay/rlay.gd")


class NoReset:
	extends RLay.Env

	func step(_action):
		return [[0, 0], 0, false, false, {}]


class TooFewArguments:
	extends RLay.Env

	func reset():
		return [[0, 0], {}]

	func step():
		return [[0, 0], 0, false, false, {}]


class Failing:
	extends RLay.Env
	var fails: bool = true

	func reset(_seed_value, _options):
		var nothing = null
		return nothing.reset() if fails else [[0, 0], {}]

	func step(_action):
		var nothing = null
		return nothing.step() if fails else [[0, 0], 0, false, false, {}]
