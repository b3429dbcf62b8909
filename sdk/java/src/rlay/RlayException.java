package rlay;

/** An error of RLay itself: a peer that breaks the protocol, a token that is wrong, an address that makes no sense. */
public final class RlayException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What went wrong, as RLay counts it (section 11). */
    public enum Code {
        USAGE(1), RESET_NEEDED(2), INVALID_ACTION(3), CLOSED(4), BUSY(5), ADDRESS(6), INCOMPATIBLE(7),
        PROTOCOL(8), ENV(9),
        CONNECTION_LOST(10), TIMEOUT(11), ADDRESS_IN_USE(12), UNAUTHORIZED(13), RESOURCE_EXHAUSTED(14);

        final int number;

        Code(int number) { this.number = number; }

        /** Returns the code of a number that a peer has sent. What is never sent, or unknown, breaks the protocol. */
        static Code sent(long number) {
            for (Code code : values()) {
                if (code.number == number && code != ADDRESS && (number < 10 || code == UNAUTHORIZED)) { return code; }
            }
            return PROTOCOL;
        }
    }

    private final Code code;

    RlayException(Code code, String message) {
        super(message);
        this.code = code;
    }

    /** Returns what went wrong. */
    public Code code() { return code; }

    static RlayException malformed(String what) { return new RlayException(Code.PROTOCOL, what); }

    static RlayException connectionLost(String what) { return new RlayException(Code.CONNECTION_LOST, what); }

    static RlayException usage(String what) { return new RlayException(Code.USAGE, what); }
}
