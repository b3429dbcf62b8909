package rlay;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketOption;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

/**
 * Joins a socket and a Connection. One thread runs the link: it reads, and it writes what the socket does not take at
 * once. The thread that answers a request writes first; no write waits.
 */
final class Link implements AutoCloseable {
    private static final long LINGER_MILLISECONDS = 1000;
    /** How long a peer may take nothing although there is something for it. */
    private static final long STUCK_MILLISECONDS = 60_000;
    /** How often a socket without room is tried: a selector tells of much room alone, and a little is progress, too. */
    private static final long TRY_MILLISECONDS = 1000;
    private static final int WRITE_PIECE = 1 << 17;

    final Connection connection;
    private final SocketChannel channel;
    private final Selector selector;
    private final SelectionKey key;
    private final Object writing = new Object();
    /** What the socket has not taken yet. */
    private ByteBuffer rest;
    private volatile boolean isStuck;
    /** When the socket has last taken something, or has begun to take nothing. */
    private volatile long movedAt;
    private volatile boolean isBroken;

    Link(SocketChannel channel, Connection connection) throws IOException {
        this.channel = channel;
        this.connection = connection;
        channel.configureBlocking(false);
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
        // Ten probes, 1 s apart: a machine that vanished is noticed after 18 s. Older releases of Java have the
        // system's times.
        setIfThere("TCP_KEEPIDLE", 8);
        setIfThere("TCP_KEEPINTERVAL", 1);
        setIfThere("TCP_KEEPCOUNT", 10);
        selector = Selector.open();
        key = channel.register(selector, SelectionKey.OP_READ);
        connection.onOutput(this::flush);
    }

    /** Connects to the first address of a host that answers. */
    static SocketChannel dial(String host, int port) throws IOException {
        IOException failure = null;
        for (InetAddress address : InetAddress.getAllByName(host)) {
            SocketChannel channel = SocketChannel.open();
            try {
                channel.socket().connect(new InetSocketAddress(address, port), (int) Acceptor.HANDSHAKE_MILLISECONDS);
                if (channel.getLocalAddress().equals(channel.getRemoteAddress())) {
                    // A kernel may connect a socket to itself, where nothing listens at the port yet.
                    channel.socket().setSoLinger(true, 0);
                    throw new ConnectException("Connection refused");
                }
                return channel;
            } catch (IOException e) {
                channel.close();
                failure = failure == null ? e : failure;
            }
        }
        throw failure;
    }

    private void setIfThere(String name, int value) throws IOException {
        for (SocketOption<?> option : channel.supportedOptions()) {
            if (option.name().equals(name) && option.type() == Integer.class) {
                @SuppressWarnings("unchecked")
                SocketOption<Integer> known = (SocketOption<Integer>) option;
                channel.setOption(known, value);
            }
        }
    }

    /** Writes as much as the socket takes. */
    private void flush() {
        boolean isNews;
        // Writing on a thread that was interrupted closes the socket.
        boolean wasInterrupted = Thread.interrupted();
        synchronized (writing) {
            try {
                while (rest != null || (rest = connection.take()) != null) {
                    // A large buffer would be copied whole for each write.
                    ByteBuffer piece = rest.duplicate();
                    piece.limit(Math.min(piece.limit(), piece.position() + WRITE_PIECE));
                    int n = channel.write(piece);
                    rest.position(rest.position() + n);
                    movedAt = n > 0 || !isStuck ? System.nanoTime() : movedAt;
                    if (rest.hasRemaining() && n == 0) { break; }
                    rest = rest.hasRemaining() ? rest : null;
                }
            } catch (IOException e) {
                isBroken = true;
            }
            // Else the thread of the link, which waits for room, would wake itself for ever.
            isNews = rest != null && !isStuck;
            isStuck = rest != null;
        }
        if (isNews || isBroken || connection.isDone()) { selector.wakeup(); }
        if (wasInterrupted) { Thread.currentThread().interrupt(); }
    }

    /** Reads until the connection has ended or, for a handshake, is open. Runs `received` after each piece. */
    void run(boolean isHandshake, Runnable received) {
        long deadline = System.nanoTime() + Acceptor.HANDSHAKE_MILLISECONDS * 1_000_000;
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        try {
            while (!connection.isDone() && !(isHandshake && connection.isOpen())) {
                received.run();
                // What an environment did to its thread does not concern the socket.
                Thread.interrupted();
                long left = millisecondsTo(deadline);
                if (!connection.isOpen() && left <= 0) {
                    connection.abort(RlayException.connectionLost("the handshake took too long"));
                } else if (isStuck && millisecondsTo(movedAt) <= -STUCK_MILLISECONDS) {
                    isBroken = true;
                } else if (!connection.isDone() && !isBroken) {
                    // 0 is without end: the system finds out whether the other machine is still there.
                    read(buffer, !connection.isOpen() ? left : isStuck ? TRY_MILLISECONDS : 0);
                }
                if (isBroken) { connection.lost(); }
            }
        } catch (IOException e) {
            connection.lost();
        } catch (RuntimeException | Error e) {
            // Without an end here, a session that ran out of memory would keep its place for ever.
            RlayException why = RlayException.usage("the host has failed: " + e);
            if (connection.isOpen()) { connection.session().end(why); }
            connection.abort(why);
        }
    }

    /** Returns how long it is until then, rounded up. */
    private static long millisecondsTo(long then) {
        return Math.floorDiv(then - System.nanoTime() + 999_999, 1_000_000L);
    }

    private void read(ByteBuffer buffer, long milliseconds) throws IOException {
        // Stops reading from a peer that does not read.
        key.interestOps(isStuck ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
        selector.select(milliseconds);
        selector.selectedKeys().clear();
        if (isStuck) {
            flush();
            return;
        }
        buffer.clear();
        int n = channel.read(buffer);
        if (n < 0) { connection.lost(); }
        else if (n > 0) { connection.receive(buffer.array(), 0, n); }
    }

    /** Sends what there is, if the connection ended in order, and closes the socket. */
    @Override public void close() {
        try {
            long deadline = System.nanoTime() + LINGER_MILLISECONDS * 1_000_000;
            ByteBuffer ignored = ByteBuffer.allocate(4096);
            boolean isShut = false;
            flush();
            while (connection.isFinished() && !isBroken && System.nanoTime() < deadline) {
                if (!isStuck && !isShut) {
                    channel.shutdownOutput();
                    isShut = true;
                }
                // What was not read when a socket is closed makes the system drop what was written.
                key.interestOps(isStuck ? SelectionKey.OP_WRITE | SelectionKey.OP_READ : SelectionKey.OP_READ);
                selector.select(Math.max(1, millisecondsTo(deadline)));
                selector.selectedKeys().clear();
                flush();
                ignored.clear();
                if (channel.read(ignored) < 0) { break; }
            }
        } catch (IOException e) {
            // The peer is gone.
        } finally {
            closeQuietly(channel);
            closeQuietly(selector);
        }
    }

    static void closeQuietly(AutoCloseable open) {
        try {
            open.close();
        } catch (Exception e) {
            // It is of no use any more.
        }
    }
}
