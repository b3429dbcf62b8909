## The program `vectors` of sdk/tests/GAME.md. Godot reads no standard input: `-- QUESTIONS ANSWERS` names two files.
extends SceneTree

const Answers = preload("res://tests/answers.gd")


func _initialize():
	var arguments: Array = Array(OS.get_cmdline_user_args())
	var questions: FileAccess = FileAccess.open(arguments[arguments.size() - 2], FileAccess.READ)
	var answers: FileAccess = FileAccess.open(arguments[arguments.size() - 1], FileAccess.WRITE)
	var line: String = questions.get_line()
	while line != "":
		answers.store_string(Answers.new().answer(line) + "\n")
		line = questions.get_line()
	answers.close()
	quit()
