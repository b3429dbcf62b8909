## Loads the script that is named last on the command line, and says so.
extends SceneTree


func _initialize():
	var arguments: Array = Array(OS.get_cmdline_user_args())
	var path: String = arguments[arguments.size() - 1]
	var script: Script = load("res://" + path)
	if script != null and script.can_instantiate():
		print("loaded " + path)
	quit()
