package rlay;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Cuts a stream of bytes into frames (section 1). Throws a RlayException of code PROTOCOL for a length above the limit.
 */
final class FrameReader {
    private final Consumer<byte[]> take;
    /** The longest frame. */
    long limit;
    /** Whether the peer said that nothing follows, on purpose. */
    boolean isClosed;
    /** What is being read: a frame, or the length of one; of how many bytes; and those that are there. */
    private boolean isFrame;
    private int wanted = 4;
    private byte[] part = new byte[4];
    private int have;

    FrameReader(long limit, Consumer<byte[]> take) {
        this.limit = limit;
        this.take = take;
    }

    boolean isBetweenFrames() { return !isFrame && have == 0; }

    void receive(byte[] bytes, int offset, int length) {
        int end = offset + length;
        int start = offset;
        while (!isClosed && (start < end || wanted == 0)) {
            int n = Math.min(end - start, wanted - have);
            if (have + n > part.length) {
                // Memory grows with what has arrived, not with what is announced.
                part = Arrays.copyOf(part, (int) Math.min(wanted, Math.max(2L * have, have + n)));
            }
            System.arraycopy(bytes, start, part, have, n);
            have += n;
            start += n;
            if (have == wanted) { complete(); }
        }
    }

    private void complete() {
        byte[] whole = part;
        have = 0;
        if (isFrame) {
            isFrame = false;
            wanted = 4;
            part = new byte[4];
            take.accept(whole);
            return;
        }
        long length = new Reader(whole).u32();
        if (length == 0xFFFFFFFFL) {
            isClosed = true;
        } else if (length > limit) {
            throw RlayException.malformed("a frame of " + length + " bytes, where " + limit + " are the most"
                + foreign(whole));
        } else {
            isFrame = true;
            wanted = (int) length;
            part = new byte[Math.min(wanted, 4096)];
        }
    }

    /** Names a peer that speaks something else, by its first bytes. */
    private static String foreign(byte[] first) {
        String word = new String(first, StandardCharsets.ISO_8859_1);
        if (word.startsWith("\u0015\u0003") || word.startsWith("\u0016\u0003")) {
            return "; this is a TLS peer: use tcp:// at both ends";
        }
        return "GET POSTHEADPUT OPTIHTTPPRI ".contains(word) ? "; this is an HTTP peer: check address and port" : "";
    }
}
