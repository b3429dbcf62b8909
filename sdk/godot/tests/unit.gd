## Runs the checks of cases.gd and mistakes.gd, and says how many passed.
extends SceneTree

const Cases = preload("res://tests/cases.gd")
const Mistakes = preload("res://tests/mistakes.gd")


func _initialize():
	for cases in [Cases.new(), Mistakes.new()]:
		cases.run()
		for what in cases.failed:
			print("FAILED: " + what)
		print("%d passed, %d failed" % [cases.passed, cases.failed.size()])
	quit()
