package rlay;

import java.io.IOException;
import java.net.ConnectException;
import java.nio.channels.SocketChannel;
import rlay.RlayException.Code;

/**
 * Dials {@code rlay.ServerEnv}, hosts an environment for its agent, and dials again after each session. One session
 * waits for an agent, up to maxSessions play.
 *
 * <pre>{@code
 * new ClientBackend(make -> new Walk(), "tcp://127.0.0.1:5005", new Options()).run();
 * }</pre>
 */
public final class ClientBackend extends Backend {
    private static final long RECONNECT_MILLISECONDS = 30_000;

    private final Place place;
    private final boolean isLaunched;
    private boolean hasDialed;

    /**
     * Makes a backend for a program that an agent has launched: the address is in the environment variable
     * RLAY_ADDRESS.
     */
    public ClientBackend(Make.Factory factory, Options options) { this(factory, launched(), options); }

    /**
     * Makes a backend that dials {@code tcp://host:port}. Throws a RlayException of code ADDRESS for another address.
     */
    public ClientBackend(Make.Factory factory, String address, Options options) {
        super(factory, address, options);
        place = new Place(address, false);
        isLaunched = address.equals(System.getenv("RLAY_ADDRESS"));
    }

    private static String launched() {
        String address = System.getenv("RLAY_ADDRESS");
        if (address == null) {
            throw new RlayException(Code.ADDRESS, "no address to dial, and RLAY_ADDRESS is not set");
        }
        return address;
    }

    /** Begins to dial on another thread. What {@link #run} would throw is logged. */
    @Override public void start() {
        begin();
        thread("dialer", () -> {
            try {
                dialOn();
            } catch (InterruptedException | RlayException e) {
                log(e.getMessage());
            }
        });
    }

    /**
     * Dials and hosts until {@link #close}, or until the agent that has launched this program is gone. Throws a
     * RlayException where trying again is pointless: another token, another release, no RLay there.
     */
    @Override public void run() throws InterruptedException {
        begin();
        dialOn();
    }

    private void dialOn() throws InterruptedException {
        while (!isClosed) {
            awaitUntil(() -> isClosed || hasRoom(), 0);
            if (hasDialed) {
                pause(Math.min(FIRST_PAUSE << Math.min(Math.max(failures - 1, 0), 20), LONGEST_IDLE_PAUSE));
            }
            if (isClosed) { break; }
            Host host = new Host(new EnvSession(options));
            Link link = null;
            try {
                link = begin(host.session);
            } catch (RlayException | InterruptedException e) {
                host.session.end(RlayException.connectionLost(e.getMessage()));
                host.pump();
                awaitUntil(hosts::isEmpty, 0);
                throw e;
            }
            if (link == null) {
                host.pump();
                break;
            }
            Link first = link;
            thread("session", () -> play(host, first));
        }
        awaitUntil(hosts::isEmpty, 0);
    }

    /** Whether there may be one more session; one that waits for its agent is enough. */
    private boolean hasRoom() {
        return hosts.size() < options.maxSessions && hosts.keySet().stream().allMatch(session -> session.env() != null);
    }

    /** Dials until an agent has admitted the session; returns null if there will be none. */
    private Link begin(EnvSession session) throws InterruptedException {
        for (long pause = FIRST_PAUSE; !session.isOver(); pause = longer(pause)) {
            if (isClosed) {
                session.end(null);
                break;
            }
            try {
                Link link = connect(session);
                hasDialed = true;
                return link;
            } catch (Refused e) {
                if (isLaunched && hasDialed && e.isByHost) {
                    session.end(null);
                    break;
                }
                if (e.error.code() != Code.CONNECTION_LOST && e.error.code() != Code.BUSY
                    && e.error.code() != Code.CLOSED) {
                    throw e.error;
                }
                if (pause > LONGEST_PAUSE / 2 && !session.isOver()) {
                    logSeldom("no agent takes the session yet: " + e.error.getMessage());
                }
                pause(pause);
            }
        }
        return null;
    }

    /** Plays until the session is over, over one connection after another. */
    private void play(Host host, Link first) {
        EnvSession session = host.session;
        Link link = first;
        try {
            long lossPause = 0;
            long receivedBefore = -1;
            while (link != null) {
                link.run(false, host::pump);
                link.close();
                link = null;
                if (session.isLost()) {
                    // Connections that bring nothing but a Welcome are not made without a pause.
                    lossPause = session.received() == receivedBefore ? longer(lossPause) : 0;
                    receivedBefore = session.received();
                    if (lossPause > 0) { pause(lossPause); }
                    link = resume(session);
                }
            }
        } catch (InterruptedException e) {
            session.end(RlayException.connectionLost("interrupted"));
        }
        host.pump();
    }

    /** Brings a session that has lost its connection another one; returns null if it ends instead. */
    private Link resume(EnvSession session) throws InterruptedException {
        long timeout = options.reconnectTimeout < 0 ? RECONNECT_MILLISECONDS : options.reconnectTimeout;
        long since = System.nanoTime();
        for (long pause = FIRST_PAUSE; !session.isOver(); pause = longer(pause)) {
            try {
                return connect(session);
            } catch (Refused e) {
                boolean isPointless = e.error.code() == Code.UNAUTHORIZED || e.error.code() == Code.INCOMPATIBLE;
                boolean isGone = e.isByHost && options.reconnectTimeout < 0;
                if (isPointless || isGone || (System.nanoTime() - since) / 1_000_000 >= timeout) {
                    session.end(e.error);
                }
                else { pause(pause); }
            }
        }
        return null;
    }

    /** Makes one attempt to connect and to shake hands. */
    private Link connect(EnvSession session) throws Refused {
        SocketChannel channel;
        try {
            channel = Link.dial(place.host, place.port);
        } catch (IOException | RuntimeException e) {
            throw new Refused(RlayException.connectionLost(e.toString()), e instanceof ConnectException);
        }
        Connection connection = session.dial();
        Link link;
        try {
            link = new Link(channel, connection);
        } catch (IOException e) {
            Link.closeQuietly(channel);
            throw new Refused(RlayException.connectionLost(e.toString()), false);
        }
        link.run(true, () -> { });
        if (!connection.isOpen()) {
            link.close();
            throw new Refused(connection.error(), false);
        }
        return link;
    }

    /** Says why an attempt has failed, and whether nothing listens at the address. */
    private static final class Refused extends Exception {
        private static final long serialVersionUID = 1;
        final transient RlayException error;
        final boolean isByHost;

        Refused(RlayException error, boolean isByHost) {
            super(error);
            this.error = error;
            this.isByHost = isByHost;
        }
    }
}
