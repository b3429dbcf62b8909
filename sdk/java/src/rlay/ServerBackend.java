package rlay;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicInteger;
import rlay.RlayException.Code;

/**
 * Listens for {@code rlay.ClientEnv}, and hosts an environment for each agent that dials; {@link Env} has an example.
 */
public final class ServerBackend extends Backend {
    private static final long RECONNECT_MILLISECONDS = 30_000;
    /**
     * How many connections there may be beside those of sessions: peers that say nothing are not to take every thread.
     */
    private static final int SPARE_CONNECTIONS = 128;
    private static final int HANDSHAKES = 64;

    private final Place place;
    private final Acceptor acceptor;
    private final AtomicInteger links = new AtomicInteger();
    /** The connections whose handshakes are under way, the oldest first, and perhaps some whose are over. */
    private final Deque<Connection> handshakes = new ArrayDeque<>();
    private volatile ServerSocketChannel server;

    /**
     * Makes a backend that listens at {@code tcp://host:port}; port 0 is any. Other machines can dial only if there is
     * a token, or with {@code ?insecure_allow_remote=yes} behind the address. Throws a RlayException of code ADDRESS.
     */
    public ServerBackend(Make.Factory factory, String address, Options options) {
        super(factory, address, options);
        place = new Place(address, true);
        acceptor = new Acceptor(this.options, session -> {
            new Host(session);
            if (isClosed) { session.goodbye(); }
        });
        if (!place.isLoopback() && this.options.token == null && !place.allowsRemote) {
            throw new RlayException(Code.ADDRESS, address
                + ": other machines can dial this address, and there is no token; listen on"
                + " 127.0.0.1, set a token (RLAY_TOKEN, at both ends), or append ?insecure_allow_remote=yes");
        }
    }

    @Override public void start() throws IOException {
        begin();
        if (isClosed) { throw new RlayException(Code.CLOSED, "the backend was closed; make another one"); }
        listen();
        thread("listener", this::acceptAll);
    }

    @Override public void run() throws IOException, InterruptedException {
        if (!hasBegun.get() && !isClosed) { start(); }
        awaitUntil(() -> isClosed && hosts.isEmpty(), 0);
    }

    @Override public void close() {
        isClosed = true;
        if (server != null) { Link.closeQuietly(server); }
        synchronized (handshakes) {
            handshakes.removeIf(other -> other.isOpen() || other.isDone());
            handshakes.forEach(other -> other.abort(RlayException.connectionLost("the backend was closed")));
        }
        super.close();
    }

    private void listen() throws IOException {
        ServerSocketChannel channel = ServerSocketChannel.open();
        try {
            channel.setOption(StandardSocketOptions.SO_REUSEADDR, true);
            channel.bind(new InetSocketAddress(place.host, place.port));
            address = "tcp://" + place.shownHost + ":" + channel.socket().getLocalPort();
        } catch (java.nio.channels.UnresolvedAddressException e) {
            channel.close();
            throw new RlayException(Code.ADDRESS, address + ": there is no such host");
        } catch (IOException e) {
            channel.close();
            throw new IOException(address + ": " + e.getMessage(), e);
        }
        server = channel;
        if (isClosed) { Link.closeQuietly(channel); }
    }

    private void acceptAll() {
        while (!isClosed) {
            try {
                SocketChannel channel = server.accept();
                if (links.incrementAndGet() > options.maxSessions + SPARE_CONNECTIONS) {
                    links.decrementAndGet();
                    channel.close();
                } else {
                    Connection connection = acceptor.accept();
                    beginHandshake(connection);
                    thread("connection", () -> serve(channel, connection));
                }
            } catch (IOException | OutOfMemoryError e) {
                if (!isClosed) {
                    // There are no descriptors or threads left, mostly.
                    logSeldom("cannot accept a connection: " + e);
                    pauseQuietly();
                }
            }
        }
    }

    private void pauseQuietly() {
        try {
            pause(100);
        } catch (InterruptedException e) {
            // Only this program can interrupt this thread, and it does not.
        }
    }

    /** Makes room for a handshake, if it must by ending the oldest: an honest one takes milliseconds. */
    private void beginHandshake(Connection connection) {
        synchronized (handshakes) {
            handshakes.removeIf(other -> other.isOpen() || other.isDone());
            handshakes.add(connection);
            if (handshakes.size() > HANDSHAKES) {
                handshakes.poll().abort(RlayException.connectionLost("another dialer needs the place"));
            }
        }
    }

    private void serve(SocketChannel channel, Connection connection) {
        try (Link link = new Link(channel, connection)) {
            link.run(false, () -> {
                Host host = connection.isOpen() ? hosts.get(connection.session()) : null;
                if (host != null) { host.pump(); }
            });
        } catch (IOException e) {
            Link.closeQuietly(channel);
        } finally {
            links.decrementAndGet();
        }
        RlayException error = connection.error();
        if (!connection.isOpen() && error != null && error.code() != Code.CONNECTION_LOST) {
            logSeldom("refused a peer: " + error.getMessage());
        }
        Host host = connection.isOpen() ? hosts.get(connection.session()) : null;
        if (host != null) {
            try {
                host.session.awaitResumed(options.reconnectTimeout < 0 ? RECONNECT_MILLISECONDS
                    : options.reconnectTimeout);
            } catch (InterruptedException e) {
                host.session.end(RlayException.connectionLost("the agent was not waited for"));
            }
            host.pump();
        }
    }
}
