## A node that lets an agent play the scene that it is in, step by step in the physics loop, for one session at a time.
##
## Extend it, and write `make_spaces`, `reset_world`, `act` and `outcome`:
##
##     extends "res://addons/rlay/rlay_host.gd"
##
##     func make_spaces(env):
##         env.observation_space = RLay.Box.new(-INF, INF, [2])
##         env.action_space = RLay.Discrete.new(3)
##
## A step of the agent is `act(action)`, then `frames_per_step` physics frames, then `outcome()`. Between steps the
## scene is paused, so that the agent may take its time; this node goes on. It comes before all other nodes in each
## frame.
extends Node

const RLay = preload("res://addons/rlay/rlay.gd")

## Where agents dial (`rlay.ClientEnv`), or the agent to dial (`rlay.ServerEnv`). In a program that an agent has
## launched the environment variable RLAY_ADDRESS counts in place of it.
@export var address: String = "tcp://127.0.0.1:5005"
## Whether to listen at the address, or to dial it.
@export var listens: bool = true
## How many physics frames a step of the agent takes.
@export var frames_per_step: int = 1
## Whether the scene stands still while no step is asked for.
@export var pauses: bool = true
## For how many milliseconds a frame waits for the next request while an agent plays. 0 costs a frame for each step.
@export var poll_timeout: int = 5

## The backend; its `options` can be changed before this node is ready, in `set_options`.
var backend
var _env
var _pending = null
var _frames_left: int = 0
var _plays: bool = false


## Sets both spaces of `env`, and `metadata` and `details` if there are any.
func make_spaces(_for_env) -> void:
	pass


## Changes the options of the backend.
func set_options(_options) -> void:
	pass


## Begins an episode. `seed_value` is null, an int, or a BigInt. Returns `[observation, info]`.
func reset_world(_seed_value, _options):
	return RLay.Failure.new("reset_world is not written", "NotImplementedError")


## Takes an action. May return a Failure.
func act(_action):
	return null


## Returns what has become of the action: `[observation, reward, terminated, truncated, info]`.
func outcome():
	return RLay.Failure.new("outcome is not written", "NotImplementedError")


## Returns a frame for `render_mode`, such as an NdArray of shape [height, width, 3].
func render_frame(_render_mode):
	return RLay.Failure.new("this scene cannot be rendered", "NotImplementedError")


func _ready():
	process_mode = Node.PROCESS_MODE_ALWAYS
	process_physics_priority = -1000
	var launched: String = OS.get_environment("RLAY_ADDRESS")
	var options = RLay.Options.new()
	set_options(options)
	var make: Callable = Callable(self, "_make_env")
	if launched == "" and listens:
		backend = RLay.ServerBackend.new(make, address, options)
	else:
		backend = RLay.ClientBackend.new(make, launched if launched != "" else address, options)
	var problem: String = backend.start()
	if problem != "":
		printerr("rlay: " + problem)
		backend = null
	elif launched == "" and listens:
		print("rlay: agents may dial " + backend.address)


func _exit_tree():
	if backend != null:
		backend.close()


func _make_env(_wanted):
	_env = RLay.Env.new()
	make_spaces(_env)
	_plays = true
	return _env


func _physics_process(_delta):
	if backend == null:
		return
	if _pending != null and _pending.is_open():
		_frames_left -= 1
		if _frames_left > 0:
			# The requests of another agent wait until this step is over.
			var _moved: bool = backend.serve()
			return
		_pending.reply(outcome())
	_pending = null
	var until: int = Time.get_ticks_msec() + poll_timeout
	while _pending == null:
		var turn = backend.poll()
		if turn != null:
			_take(turn)
		elif _plays and Time.get_ticks_msec() < until:
			OS.delay_usec(50)
		else:
			break
	if pauses:
		get_tree().paused = _pending == null and _plays
	if backend.is_closed:
		get_tree().quit()


func _take(turn) -> void:
	match turn.kind:
		"reset":
			turn.reply(reset_world(turn.seed_value, turn.options))
		"step":
			var refused = act(turn.action)
			if typeof(refused) == TYPE_OBJECT and refused is RLay.Failure:
				turn.fail(refused)
				return
			_pending = turn
			_frames_left = frames_per_step
		"render":
			turn.reply(render_frame(turn.render_mode))
		"close":
			# Another agent may have an environment by now.
			if turn.env == _env:
				_plays = false
			turn.reply()
