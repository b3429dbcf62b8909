package rlay;

import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import rlay.RlayException.Code;

/**
 * What both backends have in common: they host environments, each session on a thread of its own. {@link #run} does so
 * in the calling thread until {@link #close}; {@link #start} returns at once.
 */
public abstract class Backend implements AutoCloseable {
    private static final long CLOSE_MILLISECONDS = 2000;
    static final long FIRST_PAUSE = 20, LONGEST_PAUSE = 1000, LONGEST_IDLE_PAUSE = 5000;

    final Make.Factory factory;
    final Options options;
    volatile String address;
    volatile boolean isClosed;
    final AtomicBoolean hasBegun = new AtomicBoolean();
    final Map<EnvSession, Host> hosts = new ConcurrentHashMap<>();
    private final Queue<Turn> turns = new ConcurrentLinkedQueue<>();
    private final Map<String, Integer> said = new HashMap<>();
    /** How many sessions in a row came to nothing. */
    volatile int failures;

    Backend(Make.Factory factory, String address, Options options) {
        if (factory == null) { throw RlayException.usage("a backend takes a factory that makes environments"); }
        if (address == null) { throw new RlayException(Code.ADDRESS, "there is no address; use tcp://host:port"); }
        this.factory = factory;
        this.address = address;
        this.options = Options.checked(options);
    }

    /** Hosts environments until another thread calls {@link #close}. */
    public abstract void run() throws java.io.IOException, InterruptedException;

    /** Begins to host environments on other threads. Throws a RlayException of code USAGE the second time. */
    public abstract void start() throws java.io.IOException;

    /** Throws where the backend has been started already. */
    final void begin() {
        if (hasBegun.getAndSet(true)) { throw RlayException.usage("the backend was started already"); }
    }

    /** Returns the address; one that listens has its real port once it has started. */
    public String address() { return address; }

    /**
     * The poll form: returns the next request for an environment that is no {@link Env}, or null. It never waits. An
     * engine calls it once a frame until it returns null, and answers the requests in this frame or a later one.
     */
    public Turn poll() {
        for (Turn turn; (turn = turns.poll()) != null; ) {
            // Ends the environment although no answer is waited for.
            if (turn.isOpen() || turn.kind() == Turn.Kind.CLOSE) { return turn; }
        }
        return null;
    }

    /**
     * Admits no agent any more, ends every session, and returns once their environments are closed, or after two
     * seconds: one of them may be in the middle of a step. An environment that calls it itself is closed once it
     * returns.
     */
    @Override public void close() {
        isClosed = true;
        hosts.keySet().forEach(EnvSession::goodbye);
        changed();
        boolean isWithin = hosts.values().stream().anyMatch(host -> host.runner == Thread.currentThread());
        try {
            awaitUntil(() -> isWithin || hosts.isEmpty(), CLOSE_MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    interface Condition {
        boolean isSo();
    }

    /**
     * Waits for a condition, which is asked again after each change, but only so many milliseconds unless that is 0.
     */
    final synchronized void awaitUntil(Condition condition, long milliseconds) throws InterruptedException {
        long deadline = System.nanoTime() + milliseconds * 1_000_000;
        while (!condition.isSo()) {
            long left = milliseconds == 0 ? 0 : (deadline - System.nanoTime() + 999_999) / 1_000_000;
            if (left < 0 || left == 0 && milliseconds > 0) { return; }
            wait(left);
        }
    }

    final void pause(long milliseconds) throws InterruptedException {
        awaitUntil(() -> isClosed, Math.max(milliseconds, 1));
    }

    final synchronized void changed() { notifyAll(); }

    /** Logs a line the first, tenth, hundredth… time, for peers can repeat anything. */
    final void logSeldom(String text) {
        int times;
        synchronized (said) {
            if (said.size() > 1000) { said.clear(); }
            times = said.merge(text, 1, Integer::sum);
        }
        if (Integer.toString(times).matches("10*")) { log(text + (times > 1 ? " (" + times + " times so far)" : "")); }
    }

    final void log(String text) {
        try {
            options.log.accept(address + ": " + text);
        } catch (RuntimeException e) {
            // A log that fails is not to end a session, and there is nowhere to say so.
        }
    }

    private void logFailure(Throwable e) { logSeldom("the environment failed: " + Turn.trace(e)); }

    static Thread thread(String name, Runnable task) {
        Thread thread = new Thread(task, "rlay " + name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** The pause after this one. */
    static long longer(long pause) { return Math.min(Math.max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE); }

    /** Asks the environment of one session; connections that follow each other bring threads that follow each other. */
    final class Host {
        final EnvSession session;
        /** The environment, while it is open. */
        private EnvDescription env;
        /** The thread that asks the environment at the moment. */
        private volatile Thread runner;
        private boolean hasEnded;

        Host(EnvSession session) {
            this.session = session;
            hosts.put(session, this);
        }

        /** Asks the environment until the agent asks nothing any more; returns at once where another thread does so. */
        void pump() {
            for (;;) {
                Turn turn;
                synchronized (this) {
                    if (runner != null) { return; }
                    turn = session.nextTurn();
                    if (turn == null && (hasEnded || !session.isOver())) { return; }
                    hasEnded |= turn == null;
                    runner = Thread.currentThread();
                }
                try {
                    if (turn == null) {
                        end();
                    } else if (env != null && !(env instanceof Env)) {
                        env = turn.kind() == Turn.Kind.CLOSE ? null : env;
                        turns.add(turn);
                    } else {
                        answer(turn);
                    }
                } finally {
                    runner = null;
                }
            }
        }

        private void answer(Turn turn) {
            try {
                switch (turn.kind()) {
                    case MAKE:
                        env = factory.make(turn.make());
                        turn.reply(env);
                        if (session.env() != null) { log("an agent joined"); }
                        break;
                    case RESET: turn.reply(played().reset(turn.seed(), turn.options())); break;
                    case STEP: turn.reply(played().step(turn.action())); break;
                    case RENDER: turn.replyFrame(played().render()); break;
                    default:
                        closeEnv();
                        turn.reply();
                }
            } catch (Throwable e) {
                // Errors of the virtual machine are the environment's, too: the agent waits for an answer.
                logFailure(e);
                turn.fail(e);
                if (turn.kind() == Turn.Kind.MAKE) { closeEnvQuietly(); }
            }
            if (turn.kind() == Turn.Kind.MAKE) { changed(); }
        }

        private Env played() { return (Env) env; }

        private void closeEnv() throws Exception {
            EnvDescription closing = env;
            env = null;
            if (closing instanceof Env) { ((Env) closing).close(); }
            else if (closing != null) { turns.add(new Turn(session, Turn.Kind.CLOSE, 0, null, null)); }
        }

        private void closeEnvQuietly() {
            try {
                closeEnv();
            } catch (Throwable e) {
                logFailure(e);
            }
        }

        private void end() {
            closeEnvQuietly();
            RlayException error = session.error();
            if (session.env() != null) {
                log("the agent left after " + session.steps() + " steps"
                    + (error == null ? "" : ": " + error.getMessage()));
            } else if (error != null && !isClosed) {
                logSeldom("a session ended before it began: " + error.getMessage());
            }
            failures = session.steps() > 0 || error == null ? 0 : failures + 1;
            hosts.remove(session);
            changed();
        }
    }

    /** An address taken apart. */
    static final class Place {
        final String host;
        /** The host as it stands in the address. */
        final String shownHost;
        final int port;
        final boolean allowsRemote;

        Place(String address, boolean listens) {
            String form = "(\\[[0-9a-fA-F:.%]+\\]|[^:\\[\\]?/]+):(\\d{1,5})(\\?insecure_allow_remote=yes)?";
            java.util.regex.Matcher parts = java.util.regex.Pattern.compile("tcp://" + form).matcher(address);
            String wrong = null;
            if (!address.startsWith("tcp://")) {
                wrong = address.contains("://") ? "this client has no " + address.substring(0, address.indexOf("://"))
                    + "://; use tcp://host:port at both ends"
                    : "an address looks like tcp://127.0.0.1:5005";
            } else if (!parts.matches() || Integer.parseInt(parts.group(2)) > 65535) {
                wrong = "a tcp address is tcp://host:port"
                    + (listens ? ", with ?insecure_allow_remote=yes at most" : "");
            } else if (!listens && parts.group(3) != null) {
                wrong = "there is no option insecure_allow_remote where one dials";
            }
            if (wrong != null) { throw new RlayException(Code.ADDRESS, Writer.shown(address) + ": " + wrong); }
            shownHost = parts.group(1);
            host = shownHost.replaceAll("[\\[\\]]", "");
            port = Integer.parseInt(parts.group(2));
            allowsRemote = parts.group(3) != null;
        }

        boolean isLoopback() {
            return host.equals("localhost") || host.equals("::1") || host.matches("127(\\.\\d+){3}");
        }
    }
}
