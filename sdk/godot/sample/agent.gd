## Lets an agent push the paddle: what it sees, what it may do, and what it gets for it.
extends "res://addons/rlay/rlay_host.gd"

var random: RandomNumberGenerator = RandomNumberGenerator.new()


func make_spaces(env) -> void:
	env.observation_space = RLay.Box.new(0, 400, [3])
	env.action_space = RLay.Discrete.new(3)


func reset_world(seed_value, _options):
	if typeof(seed_value) == TYPE_INT:
		random.seed = seed_value
	get_parent().begin(random.randf_range(0.0, 400.0))
	return [_seen(), {}]


func act(action):
	get_parent().push = action - 1
	return null


func outcome():
	var world = get_parent()
	var reward: float = 1.0 if world.is_caught() else 0.0
	return [_seen(), reward, world.is_down(), false, {"paddle": world.paddle}]


func _seen() -> Array:
	return [get_parent().ball.x, get_parent().ball.y, get_parent().paddle]
