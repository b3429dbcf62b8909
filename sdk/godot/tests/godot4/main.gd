## Runs in a web build of Godot 4 what its arguments say: `unit`, `vectors`, `game` with the arguments of that program,
## or `sample`.
extends Node

const RLay = preload("res://addons/rlay/rlay.gd")
const Environments = preload("res://tests/environments.gd")
const Answers = preload("res://tests/answers.gd")
const Cases = preload("res://tests/cases.gd")
const Mistakes = preload("res://tests/mistakes.gd")

var backend = null
var environments = Environments.new()
var said: bool = false


func _ready():
	var arguments: Array = Array(str(JavaScriptBridge.eval("rlayArguments")).split("|"))
	if arguments[0] == "game":
		_play(arguments)
		return
	if arguments[0] == "sample":
		var world: Node = load("res://sample/catch.tscn").instantiate()
		var agent: Node = world.get_node("Agent")
		agent.listens = arguments[1] == "--listen"
		agent.address = arguments[2]
		# Sockets are served between frames, so a frame would wait in vain.
		agent.poll_timeout = 0
		add_child(world)
		return
	if arguments[0] == "vectors":
		var questions: FileAccess = FileAccess.open("res://questions", FileAccess.READ)
		var line: String = questions.get_line()
		while line != "":
			print("ANSWER " + Answers.new().answer(line))
			line = questions.get_line()
	else:
		# The node and the sample are only compiled here.
		var host = load("res://sample/agent.gd")
		for cases in [Cases.new(), Mistakes.new()]:
			cases.check(host != null and host.can_instantiate(), "the sample")
			cases.run()
			for what in cases.failed:
				print("FAILED: " + what)
			print("%d passed, %d failed" % [cases.passed, cases.failed.size()])
	JavaScriptBridge.eval("rlayExit(0)")


func _play(arguments: Array) -> void:
	var options = RLay.Options.new()
	options.kwargs = ["case"]
	options.exact_types = true
	options.token = str(JavaScriptBridge.eval("rlayToken"))
	if arguments.has("--sessions"):
		options.max_sessions = int(arguments[arguments.find("--sessions") + 1])
	var make: Callable = Callable(environments, "make_env")
	if arguments.has("--listen"):
		backend = RLay.ServerBackend.new(make, arguments[arguments.find("--listen") + 1], options)
	else:
		backend = RLay.ClientBackend.new(make, arguments[arguments.find("--dial") + 1], options)
	var problem: String = backend.start()
	if problem != "":
		printerr(problem)


func _process(_delta):
	if backend == null:
		return
	while backend.serve():
		pass
	var port: int = int(JavaScriptBridge.eval("rlay.listeningAt"))
	if port > 0 and not said:
		said = true
		print("listening at tcp://127.0.0.1:%d" % [port])
	if backend.is_closed:
		JavaScriptBridge.eval("rlayExit(1)")
