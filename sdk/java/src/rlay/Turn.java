package rlay;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.math.BigInteger;
import java.util.Map;
import java.util.function.Supplier;

/**
 * One request of the agent, to be answered by {@code reply} or {@link #fail}, on any thread and whenever there is an
 * answer. A reply that cannot be sent throws IllegalArgumentException and leaves the request open. Once the session is
 * over, answers do nothing.
 */
public final class Turn {
    /** What the agent asks for. MAKE is answered by backends themselves. */
    public enum Kind { MAKE, RESET, STEP, RENDER, CLOSE }

    private final EnvSession session;
    private final Kind kind;
    /** The number of the request that the answer names. */
    final long request;
    /** Of a MAKE a Make, of a STEP the action, of a RESET the options. */
    final Object content;
    final BigInteger seed;

    Turn(EnvSession session, Kind kind, long request, Object content, BigInteger seed) {
        this.session = session;
        this.kind = kind;
        this.request = request;
        this.content = content;
        this.seed = seed;
    }

    /** Returns what the agent asks for. */
    public Kind kind() { return kind; }

    /** Returns the session, one for each environment. */
    public EnvSession session() { return session; }

    /** Returns the environment that this is about, as the factory has made it; null for MAKE. */
    public EnvDescription env() { return session.env(); }

    /** Returns what the environment is to be, for MAKE. */
    public Make make() { return kind == Kind.MAKE ? (Make) content : null; }

    /** Returns the seed, for RESET: null, or not negative and of any size. */
    public BigInteger seed() { return seed; }

    /** Returns the options, for RESET: null or, mostly, a Map. */
    public Object options() { return kind == Kind.RESET ? content : null; }

    /** Returns the action, for STEP. */
    public Object action() { return kind == Kind.STEP ? content : null; }

    /** Returns whether the agent still waits for the answer. */
    public boolean isOpen() { return session.waitsFor(this); }

    /** Answers MAKE. */
    public void reply(EnvDescription env) {
        expect(Kind.MAKE);
        session.reply(this, env);
    }

    /** Answers RESET; an info of null is an empty one. */
    public void reply(Object observation, Map<?, ?> info) { reply(new Env.ResetResult(observation, info)); }

    void reply(Env.ResetResult result) {
        expect(Kind.RESET);
        session.reply(this, result);
    }

    /** Answers STEP; an info of null is an empty one. */
    public void reply(Object observation, double reward, boolean terminated, boolean truncated, Map<?, ?> info) {
        reply(new Env.StepResult(observation, reward, terminated, truncated, info));
    }

    void reply(Env.StepResult result) {
        expect(Kind.STEP);
        session.reply(this, result);
    }

    /** Answers RENDER; {@link Env#render} says with what. */
    public void replyFrame(Object frame) {
        expect(Kind.RENDER);
        session.reply(this, frame);
    }

    /** Answers CLOSE. */
    public void reply() {
        expect(Kind.CLOSE);
        session.reply(this, null);
    }

    /**
     * Answers that the environment has failed: in Python, {@code rlay.EnvError} with class, message and stack trace.
     */
    public void fail(Throwable error) {
        if (error == null) { throw new IllegalArgumentException("null is no error"); }
        String message = said(error::getMessage);
        String type = error.getClass().getName();
        session.answerError(this, new Message.Failure(RlayException.Code.ENV, false, type, message, trace(error)));
    }

    static String trace(Throwable error) {
        return said(() -> {
            StringWriter trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace, true));
            return trace.toString();
        });
    }

    /** Returns a text that code of a user makes, which may fail, too. */
    private static String said(Supplier<String> text) {
        try {
            String said = text.get();
            return said == null ? "" : said;
        } catch (RuntimeException e) {
            return "";
        }
    }

    private void expect(Kind answered) {
        if (kind != answered) { throw new IllegalStateException("this answers " + answered + ", not " + kind); }
    }
}
