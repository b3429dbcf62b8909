## Replaces Godot's StreamPeerTCP and TCPServer, which a web build does not have, with sockets of Node.js.
extends RefCounted


class Socket:
	const STATUS_NONE: int = 0
	const STATUS_CONNECTING: int = 1
	const STATUS_CONNECTED: int = 2
	const STATUS_ERROR: int = 3
	var id: int = -1
	var js = JavaScriptBridge.get_interface("rlay")

	func connect_to_host(host: String, port: int) -> int:
		id = js.open(host, port)
		return OK

	func poll() -> int:
		return OK

	func get_status() -> int:
		return js.status(id)

	func set_no_delay(_is_on: bool) -> void:
		pass

	func get_available_bytes() -> int:
		return js.available(id)

	func get_partial_data(n: int) -> Array:
		var text: String = js.read(id, n)
		return [OK, text.hex_decode()]

	func put_partial_data(bytes: PackedByteArray) -> Array:
		var sent: int = js.write(id, bytes.hex_encode())
		return [OK if sent >= 0 else FAILED, int(max(sent, 0))]

	func disconnect_from_host() -> void:
		js.close(id)


class Server:
	var js = JavaScriptBridge.get_interface("rlay")

	func listen(port: int, host: String) -> int:
		js.listen(host, port)
		return OK

	## Known a little later only.
	func get_local_port() -> int:
		return 0

	func is_connection_available() -> bool:
		return js.pending() > 0

	func take_connection():
		var socket = Socket.new()
		socket.id = js.accept()
		return socket

	func stop() -> void:
		js.stop()
