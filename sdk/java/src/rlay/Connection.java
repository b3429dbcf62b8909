package rlay;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * One connection of a session, without a socket: {@link EnvSession#dial} and {@link Acceptor#accept} return it. Give
 * what arrives to {@link #receive}, send what {@link #take} returns until that is null, call {@link #lost} when the
 * socket ends. Close the socket once the connection is finished and all is sent, or once it is aborted.
 *
 * <p>One thread receives. The other methods may be called by any thread.
 */
public final class Connection {
    /** Is given each frame of the handshake. */
    interface Handshake {
        void frame(byte[] frame);
    }

    private final FrameReader stream = new FrameReader(Message.HANDSHAKE_FRAME, this::frame);
    private final Deque<ByteBuffer> output = new ArrayDeque<>();
    Handshake handshake;
    private volatile EnvSession session;
    private volatile boolean isFinished;
    private volatile boolean isAborted;
    private volatile RlayException error;
    private volatile Runnable onOutput = () -> { };

    Connection() { }

    /**
     * Sets what is run whenever there is something to take, and when the connection ends. It must not wait for
     * anything.
     */
    public void onOutput(Runnable callback) {
        onOutput = callback;
        callback.run();
    }

    /** Takes bytes that have arrived. */
    public void receive(byte[] bytes, int offset, int length) {
        if (isDone()) { return; }
        try {
            stream.receive(bytes, offset, length);
        } catch (RlayException e) {
            if (isOpen()) { session.violation(this, e); }
            abort(e);
        }
        if (stream.isClosed && !isDone()) {
            if (isOpen()) { session.closed(this); }
            abort(RlayException.connectionLost("the peer closed the connection"));
        }
    }

    private void frame(byte[] frame) {
        if (isDone()) { return; }
        if (isOpen()) { session.receive(this, frame); }
        else { handshake.frame(frame); }
    }

    /** Returns the next bytes to send, or null. */
    public ByteBuffer take() {
        synchronized (output) { return output.poll(); }
    }

    /** Says that the socket has ended. */
    public void lost() {
        if (!isDone()) {
            if (isOpen()) { session.lost(this); }
            abort(RlayException.connectionLost("the connection was lost"));
        }
    }

    /** Closes at once, without a word; nothing happens where the connection has ended already. */
    void abort(RlayException why) {
        synchronized (output) {
            if (isDone()) { return; }
            error = error == null ? why : error;
            isAborted = true;
        }
        onOutput.run();
    }

    /** Sends a frame, which has its length before it. */
    void push(ByteBuffer frame) {
        synchronized (output) {
            if (isDone()) { return; }
            // The position is that of this connection; another one may send the frame again.
            output.add(frame.duplicate());
        }
        onOutput.run();
    }

    /** Sends the close mark, and nothing after it. */
    void finish(RlayException why) {
        synchronized (output) {
            if (isDone()) { return; }
            error = error == null ? why : error;
            output.add(ByteBuffer.wrap(new byte[] {-1, -1, -1, -1}));
            isFinished = true;
        }
        onOutput.run();
    }

    void open(EnvSession admitted, long limit) {
        session = admitted;
        stream.limit = limit;
    }

    /** Returns whether the handshake is over, and the connection is that of a session. */
    public boolean isOpen() { return session != null; }

    /** Returns the session, once the handshake is over. */
    public EnvSession session() { return session; }

    /** Returns whether the socket is to be closed once all is sent. */
    public boolean isFinished() { return isFinished; }

    /** Returns whether the socket is to be closed at once. */
    public boolean isAborted() { return isAborted; }

    boolean isDone() { return isFinished || isAborted; }

    /** Returns why the connection has ended, or null. */
    public RlayException error() { return error; }
}
