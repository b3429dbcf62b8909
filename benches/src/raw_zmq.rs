//! The raw ping-pong over ZeroMQ: the bare zeromq crate, DEALER and ROUTER, driven by the thread that measures.

use zeromq::{DealerSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

use crate::{
    frames::lengths,
    party::{block_on, obey, runtime, say},
};

/// RLay's own byte before each frame; a message needs no length.
fn sizes(observation: usize) -> (usize, usize) {
    let (step, result) = lengths(observation);
    (step - 4 + 1, result - 4 + 1)
}

fn theirs(address: &str) -> String {
    address.replace("zmq+ipc://", "ipc://").replace("zmq://", "tcp://")
}

/// The env's side.
pub(crate) fn serve(address: &str, observation: usize) {
    let (step, result) = sizes(observation);
    block_on(async {
        let mut socket = RouterSocket::new();
        let bound = socket.bind(&theirs(address)).await.expect("a free address").to_string();
        say(&bound.replace("tcp://", "zmq://").replace("ipc://", "zmq+ipc://"));
        let response = vec![7; result];
        while let Ok(request) = socket.recv().await {
            let mut frames = request.into_vecdeque();
            let identity = frames.pop_front().expect("of the agent");
            assert_eq!(frames[0].len(), step);
            let mut message = ZmqMessage::from(response.clone());
            message.push_front(identity);
            socket.send(message).await.expect("the other side is alive");
        }
    });
}

/// The agent's side.
pub(crate) fn ping(address: &str, observation: usize) {
    let (step, result) = sizes(observation);
    let runtime = runtime();
    let mut socket = DealerSocket::new();
    runtime.block_on(socket.connect(&theirs(address))).expect("the env listens");
    let request = vec![0; step];
    obey(|n| {
        runtime.block_on(async {
            for _ in 0..n {
                socket.send(request.clone().into()).await.expect("the other side is alive");
                let response = socket.recv().await.expect("the other side is alive");
                assert_eq!(response.get(0).map(|frame| frame.len()), Some(result));
            }
        });
    });
}
