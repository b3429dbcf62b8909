## Ten balls fall one after the other, a paddle is to be below them. The game itself: it knows nothing of agents.
extends Node2D

const BALLS = 10

var ball: Vector2 = Vector2(200, 0)
var paddle: float = 200.0
## -1, 0 or 1: where the paddle goes.
var push: int = 0
## Of each ball that is down, whether it was caught.
var catches: Array = []
var random: RandomNumberGenerator = RandomNumberGenerator.new()


func begin() -> void:
	catches = []
	paddle = 200.0
	push = 0
	drop()


func drop() -> void:
	ball = Vector2(random.randf_range(10.0, 390.0), 0.0)


func is_over() -> bool:
	return catches.size() == BALLS


func _physics_process(_delta):
	if not is_over():
		ball.y += 10.0
		paddle = clamp(paddle + 10.0 * push, 40.0, 360.0)
		if ball.y >= 380.0:
			catches.append(abs(ball.x - paddle) < 45.0)
			drop()
	queue_redraw()


func _draw():
	draw_rect(Rect2(0.0, 0.0, 400.0, 400.0), Color(0.08, 0.1, 0.19))
	for i in range(BALLS):
		var color: Color = Color(0.25, 0.28, 0.4)
		if i < catches.size():
			color = Color(0.35, 0.86, 0.55) if catches[i] else Color(0.94, 0.35, 0.31)
		draw_circle(Vector2(20.0 + 20.0 * i, 20.0), 6.0, color)
	for i in range(8):
		draw_circle(ball - Vector2(0.0, 9.0 * i), 10.0 - i, Color(1.0, 0.8, 0.2, 0.5 - 0.06 * i))
	draw_circle(ball, 10.0, Color(1.0, 0.8, 0.2))
	draw_rect(Rect2(paddle - 40.0, 386.0, 80.0, 10.0), Color(0.36, 0.55, 0.94))
