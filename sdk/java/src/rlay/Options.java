package rlay;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;

/**
 * What a host can be told: {@code new Options().maxSessions(4).kwargs("size")}. Each setter returns the same object.
 */
public final class Options {
    String token = emptyToNull(System.getenv("RLAY_TOKEN"));
    int maxSessions = 1;
    long maxFrame = 1 << 26;
    /** Milliseconds; negative where it was not set. */
    long reconnectTimeout = -1;
    List<String> kwargs = Collections.emptyList();
    Consumer<String> log = line -> System.err.println("rlay: " + line);

    private static String emptyToNull(String text) { return text == null || text.isEmpty() ? null : text; }

    /** Sets the token that both ends know, in place of that of the environment variable RLAY_TOKEN; null for none. */
    public Options token(String text) {
        token = text;
        return checked();
    }

    /**
     * Sets how many agents may play at a time, each with an environment and a thread of its own; 1 unless it is set.
     */
    public Options maxSessions(int number) {
        maxSessions = number;
        return checked();
    }

    /** Sets the longest message in bytes, from 65536 to 2^31 - 1024; 64 MiB unless it is set. */
    public Options maxFrame(long bytes) {
        maxFrame = bytes;
        return checked();
    }

    /** Sets how many milliseconds a session outlives its connection; 30000 unless it is set. */
    public Options reconnectTimeout(long milliseconds) {
        reconnectTimeout = Math.max(milliseconds, 0);
        return this;
    }

    /** Names the keyword arguments that agents may give; none unless they are named. */
    public Options kwargs(String... names) {
        if (Arrays.asList(names).contains(null)) { throw RlayException.usage("null is no name of a keyword argument"); }
        kwargs = Arrays.asList(names.clone());
        return this;
    }

    /**
     * Sets what is given each line of the log, on any thread; null for nothing; the standard error output unless it is
     * set.
     */
    public Options log(Consumer<String> callback) {
        log = callback == null ? line -> { } : callback;
        return this;
    }

    /** Returns these options, or the usual ones if they are null. Throws where they make no sense. */
    static Options checked(Options options) { return (options == null ? new Options() : options).checked(); }

    private Options checked() {
        String wrong = token != null && token.codePoints().filter(Options::isVisible).count() < 8
            ? "the token, of token() or RLAY_TOKEN, has less than eight visible characters"
            : token != null && token.codePoints().anyMatch(Options::isBroken)
            ? "the token, of token() or RLAY_TOKEN, has characters that could not be read;"
                + " where RLAY_TOKEN is beyond ASCII, start Java in a locale of UTF-8, such as LC_ALL=C.UTF-8"
            : maxSessions < 1 ? "maxSessions is at least 1"
            : maxFrame < 65536 || maxFrame > Integer.MAX_VALUE - 1023L
                ? "maxFrame is a number of bytes from 65536 to 2^31 - 1024" : null;
        if (wrong != null) { throw RlayException.usage(wrong); }
        return this;
    }

    /** Whether this is what Java puts in the place of bytes that it cannot read, or half of a surrogate pair. */
    private static boolean isBroken(int c) { return c == 0xFFFD || c >= 0xD800 && c <= 0xDFFF; }

    private static boolean isVisible(int c) {
        return !Character.isWhitespace(c) && !Character.isSpaceChar(c) && !Character.isISOControl(c);
    }
}
