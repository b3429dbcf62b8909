package rlay;

import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.function.Consumer;
import rlay.RlayException.Code;

/**
 * Admits agents that dial, without sockets (section 9): {@link #accept} returns the Connection for each socket. For
 * programs that have sockets of their own; others take {@link ServerBackend}. Close a socket whose handshake takes more
 * than 5 s.
 */
public final class Acceptor {
    static final long HANDSHAKE_MILLISECONDS = 5000;

    private final Options options;
    private final Consumer<EnvSession> onSession;
    private final Set<EnvSession> sessions = new LinkedHashSet<>();

    /** Makes an acceptor that tells of each new session. The callback must not wait for anything. */
    public Acceptor(Options options, Consumer<EnvSession> onSession) {
        this.options = Options.checked(options);
        this.onSession = onSession;
    }

    /** Returns a connection for a socket that was accepted. */
    public Connection accept() {
        Connection accepted = new Connection();
        accepted.handshake = new Connection.Handshake() {
            private byte[] helloFrame;
            private Message.Hello hello;
            private byte[] challenge;

            @Override public void frame(byte[] frame) {
                if (hello == null) {
                    helloFrame = frame;
                    hello = readHello(accepted, frame);
                    if (hello == null || options.token == null) {
                        admit(accepted, hello, null);
                        return;
                    }
                    Writer asked = Message.handshake(Message.CHALLENGE).raw(Message.random32());
                    challenge = asked.frame();
                    accepted.push(asked.finish());
                    return;
                }
                Message answer = EnvSession.readHandshake(frame);
                if (answer.kind != Message.PROOF) {
                    throw RlayException.malformed("the dialer answered Challenge with what it should not");
                }
                if (Message.isSame((byte[]) answer.body,
                    Message.prove(options.token, "dialer", helloFrame, challenge))) {
                    admit(accepted, hello, Message.prove(options.token, "listener", helloFrame, challenge));
                } else {
                    refuse(accepted, Code.UNAUTHORIZED, "the token is another one");
                }
            }
        };
        return accepted;
    }

    /** Returns a Hello that can be admitted; null if it was refused. */
    private Message.Hello readHello(Connection accepted, byte[] frame) {
        // These keep their place in every wire number; what follows may not.
        Reader early = new Reader(frame);
        if (frame.length < 42 || frame[0] != Message.HELLO) {
            throw RlayException.malformed("the dialer is no RLay endpoint");
        }
        early.u8();
        early.zeros(31);
        long magic = early.u32();
        int wireMin = early.u16();
        int wireMax = early.u16();
        int role = early.u8();
        int auth = early.u8();
        if (magic != Message.MAGIC || role > 1) { throw RlayException.malformed("the dialer is no RLay endpoint"); }
        if (wireMin > Message.WIRE || wireMax < Message.WIRE) {
            refuse(accepted, Code.INCOMPATIBLE, "this host speaks wire " + Message.WIRE);
        } else if (role == 1) {
            refuse(accepted, Code.INCOMPATIBLE, "both ends host an environment; one has to be an agent");
        } else if (auth > 1) {
            refuse(accepted, Code.INCOMPATIBLE, "an unknown kind of authentication");
        } else {
            Message.Hello hello = (Message.Hello) Message.read(frame).body;
            if (auth == 1 == (options.token != null)) { return hello; }
            refuse(accepted, Code.UNAUTHORIZED, options.token == null ? "this host has no token"
                : "this host asks for a token");
        }
        return null;
    }

    private static void refuse(Connection accepted, Code code, String message) {
        accepted.push(new Message.Reject(code.number, message).write().finish());
        accepted.finish(new RlayException(code, message));
    }

    /** Begins or resumes the session of a dialer that has proved all that was asked of it. */
    private synchronized void admit(Connection accepted, Message.Hello hello, byte[] proof) {
        if (hello == null) { return; }
        if (hello.ticket != null) {
            EnvSession found = null;
            for (EnvSession session : sessions) { found = session.hasTicket(hello.ticket) ? session : found; }
            if (found == null) { refuse(accepted, Code.CONNECTION_LOST, "the session has ended"); }
            else { found.resume(accepted, hello, proof); }
        } else if (!hasRoom()) {
            refuse(accepted, Code.BUSY, "all sessions are taken");
        } else {
            EnvSession session = new EnvSession(options);
            sessions.add(session);
            onSession.accept(session);
            session.begin(accepted, hello, proof);
        }
    }

    /**
     * Makes room where a session has not begun in the time of a handshake, or has lost its agent for the longest time.
     */
    private boolean hasRoom() {
        sessions.removeIf(EnvSession::isOver);
        if (sessions.size() < options.maxSessions) { return true; }
        for (EnvSession session : sessions) {
            if (!session.hasBegun() && System.nanoTime() - session.since > HANDSHAKE_MILLISECONDS * 1_000_000) {
                session.goodbye(Code.BUSY.number, "another agent waits");
                return sessions.remove(session);
            }
        }
        EnvSession away = sessions.stream().filter(EnvSession::isLost)
            .min(Comparator.comparingLong(EnvSession::lostAt)).orElse(null);
        if (away != null) { away.end(RlayException.connectionLost("the agent was away when another one came")); }
        return away != null && sessions.remove(away);
    }
}
