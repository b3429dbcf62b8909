## The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo.
extends SceneTree

const RLay = preload("res://addons/rlay/rlay.gd")
const Environments = preload("res://tests/environments.gd")


func _initialize():
	var arguments: Array = Array(OS.get_cmdline_user_args())
	var options = RLay.Options.new()
	options.kwargs = ["case"]
	options.exact_types = true
	if arguments.has("--sessions"):
		options.max_sessions = int(arguments[arguments.find("--sessions") + 1])
	var environments = Environments.new()
	var make = Callable(environments, "make_env")
	var backend = null
	var problem: String = ""
	if arguments.has("--listen"):
		backend = RLay.ServerBackend.new(make, arguments[arguments.find("--listen") + 1], options)
		problem = backend.start()
		if problem == "":
			print("listening at " + backend.address)
			problem = backend.serve_until_closed()
	else:
		backend = RLay.ClientBackend.new(make, arguments[arguments.find("--dial") + 1], options)
		problem = backend.run()
	if problem != "":
		printerr(problem)
	quit()
