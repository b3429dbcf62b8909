## A ball falls, a paddle is to be below it. The game itself: it knows nothing of agents.
extends Node2D

var ball: Vector2 = Vector2(200, 0)
var paddle: float = 200.0
## -1, 0 or 1: where the paddle goes.
var push: int = 0


func begin(at: float) -> void:
	ball = Vector2(at, 0)
	paddle = 200.0
	push = 0


func is_down() -> bool:
	return ball.y >= 380.0


func is_caught() -> bool:
	return is_down() and abs(ball.x - paddle) < 40.0


func _physics_process(_delta):
	if not is_down():
		ball.y += 10.0
		paddle = clamp(paddle + 8.0 * push, 0.0, 400.0)
	queue_redraw()


func _draw():
	draw_circle(ball, 10.0, Color(1, 0.8, 0.2))
	draw_rect(Rect2(paddle - 40.0, 390.0, 80.0, 10.0), Color(0.3, 0.7, 1))
