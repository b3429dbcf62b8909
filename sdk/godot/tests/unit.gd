## Runs the checks of cases.gd, and says how many passed.
extends SceneTree

const Cases = preload("res://tests/cases.gd")


func _initialize():
	var cases = Cases.new()
	cases.run()
	for what in cases.failed:
		print("FAILED: " + what)
	print("%d passed, %d failed" % [cases.passed, cases.failed.size()])
	quit()
