package rlay;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import rlay.RlayException.Code;

/**
 * The session of one environment with one agent, without sockets, timers or threads (sections 10, 13 and 21):
 * connections bring bytes, {@link #nextTurn} gives what the agent asks for, its {@link Turn} takes the answer. For
 * programs that have sockets and a loop of their own; others take {@link ServerBackend} or {@link ClientBackend}. Any
 * thread may call it.
 *
 * <pre>{@code
 * EnvSession session = new EnvSession(new Options());
 * Connection connection = session.dial();         // send what connection.take() returns
 * connection.receive(bytes, 0, n);                // what the socket has brought
 * for (Turn turn; (turn = session.nextTurn()) != null; ) {
 *     ...                                         // turn.reply(...), and send again
 * }
 * }</pre>
 */
public final class EnvSession {
    static final String SOFTWARE = "rlay-java 0.1.0";

    private enum State { NO_ENV, MAKING, OPEN, CLOSING, CLOSED }

    final Options options;
    private State state = State.NO_ENV;
    private EnvDescription env;
    private Space observationSpace;
    private Space actionSpace;
    private String renderMode;
    private boolean hasBegun;
    private boolean wasReset;
    private long steps;
    /** The request that owes an answer, and whether nextTurn() has returned it. */
    private Turn turn;
    private boolean isTaken = true;

    private boolean isOver;
    private boolean isLost;
    private RlayException error;
    final long since = System.nanoTime();
    private long lostAt;
    /** The connection that there is, and one whose handshake is under way. */
    private Connection connection;
    private Connection dialing;
    private byte[] ticket;
    private long limit;
    private long received;
    private long sent;
    private long acknowledged;
    /** What was sent and not acknowledged yet; the last of it has the number `sent`. */
    private final Deque<ByteBuffer> kept = new ArrayDeque<>();
    private long keptBytes;

    /** Makes a session that has no connection yet. */
    public EnvSession(Options options) { this.options = Options.checked(options); }

    /** Returns the environment, once there is one. */
    public synchronized EnvDescription env() { return env; }

    /** Returns how often the agent has stepped. */
    public synchronized long steps() { return steps; }

    /** Returns whether the session has ended. */
    public synchronized boolean isOver() { return isOver; }

    /** Returns whether the connection was lost, so that another one may take over. */
    public synchronized boolean isLost() { return isLost; }

    /** Returns why the session has ended; null if it ended in order, or has not. */
    public synchronized RlayException error() { return error; }

    /** Returns whether the agent has asked for an environment. */
    synchronized boolean hasBegun() { return hasBegun; }

    synchronized long lostAt() { return lostAt; }

    synchronized long received() { return received; }

    synchronized boolean waitsFor(Turn asked) { return turn == asked; }

    /** Returns what the agent asks for, once; null if nothing. An agent has one request under way. */
    public synchronized Turn nextTurn() {
        if (isTaken) { return null; }
        isTaken = true;
        return turn;
    }

    /** Ends the session in order. */
    public void goodbye() { goodbye(0, ""); }

    synchronized void goodbye(int code, String message) {
        if (!isOver) {
            send(Message.GOODBYE, 0, new Message.Goodbye(code, message)::write);
            end(null);
        }
    }

    /** Ends the session without a word to the agent, because of an error or, if that is null, in order. */
    synchronized void end(RlayException why) {
        if (isOver) { return; }
        isOver = true;
        isLost = false;
        isTaken = true;
        error = why;
        turn = null;
        kept.clear();
        if (connection != null) { connection.finish(why); }
        if (dialing != null) { dialing.abort(new RlayException(Code.CLOSED, "the session is over")); }
        connection = null;
        dialing = null;
        notifyAll();
    }

    // ----- Handshakes (section 9)

    /**
     * Returns a new connection, for a socket that was dialed: the session's first, or one that takes over from a lost
     * one.
     */
    public synchronized Connection dial() {
        abandon();
        Connection dialed = new Connection();
        Message.Hello hello = new Message.Hello();
        hello.maxFrame = options.maxFrame;
        hello.peer = SOFTWARE;
        if (options.token != null) {
            hello.auth = 1;
            hello.nonce = Message.random32();
        }
        if (ticket != null) {
            hello.features |= Message.RESUMING;
            hello.ticket = ticket;
            hello.received = received;
        }
        Writer written = hello.write();
        byte[] helloFrame = written.frame();
        dialed.handshake = new Connection.Handshake() {
            private byte[] challenge;

            @Override public void frame(byte[] frame) {
                Message answer = readHandshake(frame);
                if (answer.kind == Message.CHALLENGE && options.token != null && challenge == null) {
                    challenge = frame;
                    byte[] proof = Message.prove(options.token, "dialer", helloFrame, challenge);
                    dialed.push(Message.handshake(Message.PROOF).raw(proof).finish());
                } else {
                    answered(dialed, answer, helloFrame, challenge, hello.ticket != null);
                }
            }
        };
        if (isOver) {
            dialed.abort(new RlayException(Code.CLOSED, "the session is over"));
        } else {
            dialing = dialed;
            dialed.push(written.finish());
        }
        return dialed;
    }

    /** Reads a frame of a handshake; of other kinds nothing is read. */
    static Message readHandshake(byte[] frame) {
        if (frame.length > 0 && (frame[0] & 0xFF) > Message.REJECT) {
            throw RlayException.malformed("a frame of kind " + (frame[0] & 0xFF) + " in the handshake");
        }
        Message message = Message.read(frame);
        if ((message.seq | message.ack | message.re) != 0) {
            throw RlayException.malformed("a frame with numbers in the handshake");
        }
        return message;
    }

    /** Ends the handshake of a connection that was dialed. */
    private synchronized void answered(Connection dialed, Message answer, byte[] hello, byte[] challenge,
        boolean resumes) {
        if (dialed != dialing) {
            dialed.abort(RlayException.connectionLost("another connection took over"));
            return;
        }
        if (answer.kind == Message.REJECT) {
            Message.Reject reject = (Message.Reject) answer.body;
            Code code = Code.sent(reject.code);
            boolean hasEnded = resumes && reject.code == Code.CONNECTION_LOST.number;
            boolean isTold = code == Code.BUSY || code == Code.INCOMPATIBLE || code == Code.UNAUTHORIZED;
            RlayException refused = new RlayException(hasEnded ? Code.CONNECTION_LOST : isTold ? code : Code.PROTOCOL,
                "the agent refused the connection: " + Writer.shown(reject.message));
            dialed.abort(refused);
            if (hasEnded) { end(refused); }
            return;
        }
        if (answer.kind != Message.WELCOME) {
            throw RlayException.malformed("the agent answered Hello with what it should not");
        }
        Message.Welcome welcome = (Message.Welcome) answer.body;
        if (welcome.wire != Message.WIRE) {
            throw RlayException.malformed("the agent chose a wire number that was not offered");
        }
        if (welcome.received != null != resumes || welcome.ticket != null && resumes) {
            throw RlayException.malformed("the agent took a new session for an old one, or the other way round");
        }
        if (options.token != null
            && (challenge == null
                || !Message.isSame(welcome.proof, Message.prove(options.token, "listener", hello, challenge)))) {
            throw new RlayException(Code.UNAUTHORIZED, "the agent did not prove that it knows the token");
        }
        if (!resumes) {
            ticket = welcome.ticket;
            go(dialed, welcome.maxFrame, 0, null);
        } else if (canGoOn(dialed, welcome.received)) {
            go(dialed, welcome.maxFrame, welcome.received, null);
        }
    }

    /** Begins over a connection that was accepted. */
    synchronized void begin(Connection accepted, Message.Hello hello, byte[] proof) {
        Message.Welcome welcome = welcome(proof);
        if ((hello.features & Message.RESUMABLE) != 0) {
            ticket = Message.random32();
            welcome.features = Message.RESUMABLE;
            welcome.ticket = ticket;
        }
        go(accepted, hello.maxFrame, 0, welcome);
    }

    /** Takes over from the connection that there was, lost or not. */
    synchronized void resume(Connection accepted, Message.Hello hello, byte[] proof) {
        if (canGoOn(accepted, hello.received)) {
            abandon();
            Message.Welcome welcome = welcome(proof);
            welcome.features = Message.RESUMING;
            welcome.received = received;
            go(accepted, hello.maxFrame, hello.received, welcome);
        }
    }

    private Message.Welcome welcome(byte[] proof) {
        Message.Welcome welcome = new Message.Welcome();
        welcome.maxFrame = options.maxFrame;
        welcome.peer = SOFTWARE;
        welcome.proof = proof;
        return welcome;
    }

    synchronized boolean hasTicket(byte[] named) { return !isOver && ticket != null && Message.isSame(ticket, named); }

    /** Goes on without the connection that there is. */
    private void abandon() {
        Connection old = connection;
        connection = null;
        if (old != null) { old.abort(RlayException.connectionLost("another connection took over")); }
    }

    /** Returns whether a peer that has received so many frames can go on; ends the connection or the session if not. */
    private boolean canGoOn(Connection next, long peerReceived) {
        if (isOver) {
            next.abort(new RlayException(Code.CLOSED, "the session is over"));
        } else if (peerReceived < 0 || peerReceived > sent) {
            end(RlayException.malformed("the agent has received frame " + Long.toUnsignedString(peerReceived) + " of "
                + sent));
        } else if (peerReceived < acknowledged) {
            // The number is that of a handshake which a later one has overtaken.
            next.abort(RlayException.malformed("an old handshake"));
        } else if (peerReceived < sent - kept.size()) {
            end(RlayException.connectionLost("more was lost with the connection than was kept"));
        } else {
            return true;
        }
        next.abort(error);
        return false;
    }

    /** Goes on over a connection whose other end has received so many frames. */
    private void go(Connection next, long theirMaxFrame, long peerReceived, Message.Welcome welcome) {
        if (isOver) {
            next.abort(new RlayException(Code.CLOSED, "the session is over"));
            return;
        }
        if (limit == 0) {
            // A number of 2^63 or more is negative here.
            long theirs = theirMaxFrame < 0 ? Long.MAX_VALUE : theirMaxFrame;
            limit = Math.max(Message.HANDSHAKE_FRAME, Math.min(options.maxFrame, theirs));
        }
        next.open(this, limit);
        connection = next;
        dialing = null;
        isLost = false;
        if (welcome != null) { next.push(welcome.write().finish()); }
        acknowledge(peerReceived);
        kept.forEach(next::push);
        notifyAll();
    }

    // ----- What connections say

    synchronized void lost(Connection from) {
        if (from != connection) { return; }
        connection = null;
        if (ticket == null) {
            end(RlayException.connectionLost("the connection was lost"));
        } else {
            isLost = true;
            lostAt = System.nanoTime();
        }
    }

    synchronized void closed(Connection from) {
        if (from == connection) { end(RlayException.connectionLost("the agent left without a goodbye")); }
    }

    synchronized void violation(Connection from, RlayException why) {
        if (from == connection) {
            send(Message.ERROR, 0, new Message.Failure(Code.PROTOCOL, true, "", why.getMessage(), "")::write);
            end(why);
        }
    }

    /** Waits until the session has another connection or is over; ends it after so many milliseconds. */
    synchronized void awaitResumed(long milliseconds) throws InterruptedException {
        long lostThen = lostAt;
        long deadline = System.nanoTime() + Math.min(milliseconds, Long.MAX_VALUE / 2_000_000) * 1_000_000;
        while (isLost && lostAt == lostThen) {
            long left = (deadline - System.nanoTime() + 999_999) / 1_000_000;
            if (left <= 0) { end(RlayException.connectionLost("the agent did not come back")); }
            else { wait(left); }
        }
    }

    // ----- Frames

    private void acknowledge(long seq) {
        acknowledged = Math.max(acknowledged, seq);
        while (sent - kept.size() < acknowledged && !kept.isEmpty()) { keptBytes -= kept.poll().remaining(); }
    }

    private void send(int kind, long re, Consumer<Writer> write) {
        Writer w = new Writer(limit == 0 ? Message.HANDSHAKE_FRAME : limit).header(kind, sent + 1, received, re);
        write.accept(w);
        ByteBuffer frame = w.finish();
        sent += 1;
        if (ticket != null) {
            // An agent that acknowledges nothing is not to fill the memory.
            if (kept.size() >= 2048 || keptBytes + frame.remaining() > limit + Message.HANDSHAKE_FRAME) {
                kept.clear();
                keptBytes = 0;
            }
            kept.add(frame);
            keptBytes += frame.remaining();
        }
        if (connection != null) { connection.push(frame); }
    }

    synchronized void receive(Connection from, byte[] frame) {
        if (from != connection) { return; }
        Message message = Message.read(frame);
        if (message.seq != received + 1) {
            throw RlayException.malformed("frame " + Long.toUnsignedString(message.seq) + " behind frame " + received);
        }
        if (message.ack < 0 || message.ack > sent || message.re < 0 || message.re > sent) {
            throw RlayException.malformed("an acknowledgement of what was not sent");
        }
        received = message.seq;
        acknowledge(message.ack);
        if (message.kind == Message.GOODBYE) {
            Message.Goodbye goodbye = (Message.Goodbye) message.body;
            end(goodbye.code == 0 ? null : ended(goodbye.code, goodbye.message));
        } else if (message.kind == Message.ERROR && ((Message.Failure) message.body).isFatal) {
            Message.Failure failure = (Message.Failure) message.body;
            end(ended(failure.code, failure.message));
        } else {
            Message.Failure refusal = refusal(message.kind, message.body);
            if (refusal == null) { request(message); }
            else { send(Message.ERROR, message.seq, refusal::write); }
        }
    }

    private static RlayException ended(long code, String message) {
        return new RlayException(Code.sent(code), "the agent ended the session: " + Writer.shown(message));
    }

    /** Returns why a request cannot be taken now (the tables of section 10), or null. Throws for what is no request. */
    private Message.Failure refusal(int kind, Object body) {
        switch (kind) {
            case Message.STEP_AGENTS:
            case Message.RESULT_AGENTS: return new Message.Failure(Code.USAGE,
                "environments with many agents are not supported");
            case Message.MAKE:
                return state == State.NO_ENV ? null
                    : new Message.Failure(Code.USAGE, "the environment is made already; one session makes one");
            case Message.RESET:
            case Message.STEP:
            case Message.RENDER:
            case Message.ATTRIBUTE:
            case Message.CLOSE: break;
            default: throw RlayException.malformed("the agent sent a frame of kind " + kind + " out of turn");
        }
        if (state == State.NO_ENV || state == State.MAKING) {
            return new Message.Failure(Code.USAGE, "the environment is not made yet; send Make first");
        }
        if (state != State.OPEN) { return new Message.Failure(Code.CLOSED, "the environment is closed"); }
        if (kind == Message.CLOSE) {
            return turn == null ? null : new Message.Failure(Code.BUSY, "an answer is still owed; close after it");
        }
        List<Long> slots = ((Message.Slots) body).slots;
        String wrong = slots.isEmpty() ? "a request for no slot"
            : slots.stream().anyMatch(slot -> slot != 0) ? "there is one slot, number 0"
            : slots.size() > 1 ? "a slot is named twice in one request" : null;
        if (wrong == null && turn != null) { return new Message.Failure(Code.BUSY, "the slot still owes an answer"); }
        if (wrong == null && kind == Message.STEP && !wasReset) {
            return new Message.Failure(Code.RESET_NEEDED, "Cannot call env.step() before calling env.reset()");
        }
        if (wrong == null && kind == Message.ATTRIBUTE) { wrong = "this host offers no attributes"; }
        if (wrong == null && kind == Message.RENDER && renderMode == null) {
            wrong = "there is no render mode; the agent did not ask for one";
        }
        return wrong == null ? null : new Message.Failure(Code.USAGE, wrong);
    }

    /** Makes a request that can be taken the turn, unless its content is wrong. */
    private void request(Message message) {
        if (message.kind == Message.MAKE) {
            hasBegun = true;
            state = State.MAKING;
            take(message, Turn.Kind.MAKE, null, null);
            makeRequest((Message.MakeBody) message.body, message);
        } else if (message.kind == Message.RESET) {
            Message.Reset reset = (Message.Reset) message.body;
            take(message, Turn.Kind.RESET, reset.options, reset.seeds.get(0));
        } else if (message.kind == Message.STEP) {
            Message.Step step = (Message.Step) message.body;
            try {
                if (step.wrong != null) { throw step.wrong; }
                take(message, Turn.Kind.STEP, step.values != null ? step.values.get(0) : unpacked(step.packed), null);
            } catch (RlayException e) {
                send(Message.ERROR, message.seq, new Message.Failure(Code.PROTOCOL, e.getMessage())::write);
            }
        } else if (message.kind == Message.RENDER) {
            take(message, Turn.Kind.RENDER, null, null);
        } else {
            state = State.CLOSING;
            take(message, Turn.Kind.CLOSE, null, null);
        }
    }

    private void take(Message message, Turn.Kind kind, Object content, java.math.BigInteger seed) {
        turn = new Turn(this, kind, message.seq, content, seed);
        isTaken = false;
    }

    private Object unpacked(byte[] packed) {
        Reader r = new Reader(packed);
        Object action = actionSpace.unpack(r, 1)[0];
        r.end();
        return action;
    }

    private void makeRequest(Message.MakeBody body, Message message) {
        List<String> names = Writer.names(body.kwargs);
        String unknown = names == null ? null
            : names.stream().filter(name -> !options.kwargs.contains(name)).findFirst().orElse(null);
        if (names == null || unknown != null) {
            String known = options.kwargs.isEmpty() ? "none" : String.join(", ", options.kwargs);
            isTaken = true;
            answerError(turn, new Message.Failure(Code.USAGE, names == null
                ? "keyword arguments are a dict with names as keys"
                : "no keyword argument '" + Writer.shown(unknown) + "' here; there are: " + known));
            return;
        }
        Map<String, Object> kwargs = new LinkedHashMap<>();
        ((Map<?, ?>) body.kwargs).forEach((name, value) -> kwargs.put((String) name, value));
        take(message, Turn.Kind.MAKE, new Make(body.envId, kwargs, body.renderMode), null);
    }

    // ----- Answers

    synchronized void reply(Turn answered, Object answer) {
        if (answered != turn) { return; }
        try {
            write(answered, answer);
        } catch (RlayException e) {
            // Too long a frame: what was asked for makes no sense with this frame limit.
            answerError(answered, new Message.Failure(e.code(), e.getMessage()));
            return;
        }
        switch (answered.kind()) {
            case RESET: wasReset = true; break;
            case STEP: steps += 1; break;
            case CLOSE: state = State.CLOSED; break;
            default:
        }
        turn = null;
    }

    private void write(Turn answered, Object answer) {
        long request = answered.request;
        if (answer == null && answered.kind() != Turn.Kind.RENDER && answered.kind() != Turn.Kind.CLOSE) {
            throw new IllegalArgumentException("nothing was returned in answer to " + answered.kind());
        }
        switch (answered.kind()) {
            case MAKE:
                spec(answered, (EnvDescription) answer);
                break;
            case RESET:
                Env.ResetResult first = (Env.ResetResult) answer;
                result(request, first.observation, 0, 1, first.info);
                break;
            case STEP:
                Env.StepResult step = (Env.StepResult) answer;
                result(request, step.observation, step.reward, (step.terminated ? 2 : 0) | (step.truncated ? 4 : 0),
                    step.info);
                break;
            case RENDER:
                send(Message.FRAMES, request, w -> w.u64(1).u32(0).value(answer));
                break;
            default:
                send(Message.CLOSED, request, w -> w.u64(0));
        }
    }

    private void result(long request, Object observation, double reward, int flags, Map<?, ?> info) {
        Object fitted;
        try {
            fitted = observationSpace.fit(observation);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("the observation: " + e.getMessage(), e);
        }
        send(Message.RESULT, request, w -> {
            w.u64(1).u32(0).u8(flags).f64(reward);
            w.allowsOpaque = true;
            w.value(info == null ? new LinkedHashMap<>() : info);
            w.allowsOpaque = false;
            w.payload(observationSpace, fitted);
        });
    }

    private void spec(Turn answered, EnvDescription made) {
        Space observations = made.observationSpace();
        Space actions = made.actionSpace();
        Map<String, Object> details = new LinkedHashMap<>();
        if (made.details() != null) {
            details.put("reward_threshold", made.details().rewardThreshold);
            details.put("nondeterministic", made.details().nondeterministic);
            details.put("max_episode_steps", made.details().maxEpisodeSteps);
            details.values().removeIf(value -> value == null);
        }
        Map<?, ?> declared = made.metadata();
        Map<?, ?> metadata = declared == null ? Value.dict("render_modes", Collections.emptyList()) : declared;
        Make make = answered.make();
        send(Message.SPEC, answered.request, w -> {
            w.text(make.envId() == null ? "" : make.envId()).space(observations).space(actions).u32(1).u8(0);
            w.option(make.renderMode(), w::text);
            w.allowsOpaque = true;
            w.value(metadata).value(details).u64(0);
        });
        env = made;
        observationSpace = observations;
        actionSpace = actions;
        renderMode = make.renderMode();
        state = State.OPEN;
    }

    synchronized void answerError(Turn answered, Message.Failure failure) {
        if (answered != turn) { return; }
        send(Message.ERROR, answered.request, failure::write);
        if (answered.kind() == Turn.Kind.MAKE) { state = State.NO_ENV; }
        else if (answered.kind() == Turn.Kind.CLOSE) { state = State.CLOSED; }
        turn = null;
    }
}
