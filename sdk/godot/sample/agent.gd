## Lets an agent push the paddle: what it sees, what it may do, and what it gets for it.
extends "res://addons/rlay/rlay_host.gd"

var caught: int = 0


func make_spaces(env) -> void:
	# How far to the right of the paddle the ball is, and how far it has fallen.
	env.observation_space = RLay.Box.new(-400, 400, [2])
	env.action_space = RLay.Discrete.new(3)


func reset_world(seed_value, _options):
	if typeof(seed_value) == TYPE_INT:
		get_parent().random.seed = seed_value
	get_parent().begin()
	caught = 0
	return [_seen(), {}]


func act(action):
	get_parent().push = action - 1
	return null


func outcome():
	var before: int = caught
	caught = get_parent().catches.count(true)
	return [_seen(), float(caught - before), get_parent().is_over(), false, {"caught": caught}]


func _seen() -> Array:
	return [get_parent().ball.x - get_parent().paddle, get_parent().ball.y]
