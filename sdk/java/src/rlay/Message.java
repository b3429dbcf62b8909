package rlay;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** A frame that was read: its header, and the body where an env receives this kind (section 8). */
final class Message {
    static final int HELLO = 0x01, CHALLENGE = 0x02, PROOF = 0x03, WELCOME = 0x04, REJECT = 0x05;
    static final int GOODBYE = 0x09, ERROR = 0x0a;
    static final int MAKE = 0x20, RESET = 0x21, STEP = 0x22, RENDER = 0x23, ATTRIBUTE = 0x24, CLOSE = 0x25;
    static final int STEP_AGENTS = 0x30;
    static final int SPEC = 0x40, RESULT = 0x41, FRAMES = 0x42, RETURNED = 0x43, CLOSED = 0x44, RESULT_AGENTS = 0x50;

    static final int WIRE = 0;
    static final int HANDSHAKE_FRAME = 65536;
    static final int MAGIC = 0x59414c52; // "RLAY"
    static final int RESUMABLE = 1, RESUMING = 2;

    final int kind;
    final long seq;
    final long ack;
    final long re;
    /** An object of one of the classes below; null for kinds that an env does not receive. */
    final Object body;

    private Message(Reader r) {
        kind = r.u8();
        r.zeros(7);
        seq = r.u64();
        ack = r.u64();
        re = r.u64();
        body = body(kind, r);
        if (body != null) { r.end(); }
    }

    /** Reads a whole frame. Throws a RlayException of code PROTOCOL for one that is malformed. */
    static Message read(byte[] frame) { return new Message(new Reader(frame)); }

    private static Object body(int kind, Reader r) {
        switch (kind) {
            case HELLO: return new Hello(r);
            case CHALLENGE:
            case PROOF: return r.raw(32);
            case WELCOME: return new Welcome(r);
            case REJECT: return new Reject(r);
            case GOODBYE: return new Goodbye(r.u32(), r.text());
            case ERROR: return new Failure(r);
            case MAKE: return new MakeBody(r);
            case RESET: return new Reset(r);
            case STEP: return new Step(r);
            case ATTRIBUTE: return new Attribute(r);
            case RENDER:
            case CLOSE: return new Slots(r);
            case SPEC: case RESULT: case FRAMES: case RETURNED: case CLOSED: case STEP_AGENTS: case RESULT_AGENTS:
                return null;
            default: throw RlayException.malformed("unknown kind of frame " + kind);
        }
    }

    /** Begins a frame of the handshake, which has no numbers. */
    static Writer handshake(int kind) { return new Writer(HANDSHAKE_FRAME).header(kind, 0, 0, 0); }

    static final class Hello {
        int wireMin = WIRE;
        int wireMax = WIRE;
        int role = 1;
        int auth;
        long features = RESUMABLE;
        long maxFrame;
        String peer;
        byte[] nonce;
        byte[] ticket;
        long received;

        Hello() { }

        Hello(Reader r) {
            if (r.u32() != MAGIC) { throw RlayException.malformed("no magic word"); }
            wireMin = r.u16();
            wireMax = r.u16();
            role = r.u8();
            if (role > 1) { throw RlayException.malformed("an unknown role"); }
            auth = r.u8();
            features = r.u64();
            maxFrame = r.u64();
            peer = r.text(256);
            nonce = auth == 1 ? r.raw(32) : null;
            if ((features & RESUMING) != 0) {
                ticket = r.raw(32);
                received = r.u64();
            }
        }

        Writer write() {
            Writer w = handshake(HELLO).u32(MAGIC).u16(wireMin).u16(wireMax).u8(role).u8(auth);
            w.u64(features).u64(maxFrame).text(peer);
            if (nonce != null) { w.raw(nonce); }
            return ticket == null ? w : w.raw(ticket).u64(received);
        }
    }

    static final class Welcome {
        int wire = WIRE;
        long features;
        long maxFrame;
        String peer;
        byte[] proof;
        byte[] ticket;
        Long received;

        Welcome() { }

        Welcome(Reader r) {
            wire = r.u16();
            features = r.u64();
            maxFrame = r.u64();
            peer = r.text(256);
            proof = r.option(() -> r.raw(32));
            ticket = (features & RESUMABLE) != 0 ? r.raw(32) : null;
            received = (features & RESUMING) != 0 ? (Long) r.u64() : null;
        }

        Writer write() {
            Writer w = handshake(WELCOME).u16(wire).u64(features).u64(maxFrame).text(peer);
            w.option(proof, w::raw);
            if (ticket != null) { w.raw(ticket); }
            return received == null ? w : w.u64(received);
        }
    }

    static final class Reject {
        final long code;
        final int wireMin;
        final int wireMax;
        final String message;

        Reject(long code, String message) {
            this.code = code;
            this.wireMin = WIRE;
            this.wireMax = WIRE;
            this.message = message;
        }

        Reject(Reader r) {
            code = r.u32();
            wireMin = r.u16();
            wireMax = r.u16();
            message = r.text();
        }

        Writer write() { return handshake(REJECT).u32(code).u16(wireMin).u16(wireMax).told(message); }
    }

    static final class Goodbye {
        final long code;
        final String message;

        Goodbye(long code, String message) {
            this.code = code;
            this.message = message;
        }

        void write(Writer w) { w.u32(code).told(message); }
    }

    /** The body of Error. */
    static final class Failure {
        final long code;
        final boolean isFatal;
        final List<Long> slots;
        final String errorType;
        final String message;
        final String traceback;

        Failure(RlayException.Code code, String message) { this(code, false, "", message, ""); }

        Failure(RlayException.Code code, boolean isFatal, String errorType, String message, String traceback) {
            this.code = code.number;
            this.isFatal = isFatal;
            this.slots = new ArrayList<>();
            this.errorType = errorType;
            this.message = message;
            this.traceback = traceback;
        }

        Failure(Reader r) {
            code = r.u32();
            isFatal = r.flag();
            slots = r.list(4, r::u32);
            errorType = r.text();
            message = r.text();
            traceback = r.text();
        }

        void write(Writer w) {
            w.u32(code).flag(isFatal).list(slots, w::u32).told(errorType).told(message).told(traceback);
        }
    }

    static final class MakeBody {
        final String envId;
        final Object kwargs;
        final String renderMode;
        final long slots;
        final int autoreset;

        MakeBody(Reader r) {
            envId = r.option(() -> r.text(1024));
            kwargs = r.value();
            renderMode = r.option(() -> r.text(256));
            slots = r.u32();
            autoreset = r.u8();
            if (autoreset > 2) { throw RlayException.malformed("an unknown autoreset mode"); }
        }
    }

    /** The slots that a request is about; the whole body of Render and Close. */
    static class Slots {
        final List<Long> slots;

        Slots(Reader r) { this(r.list(4, r::u32)); }

        Slots(List<Long> slots) { this.slots = slots; }
    }

    static final class Reset extends Slots {
        final List<BigInteger> seeds = new ArrayList<>();
        final Object options;

        Reset(Reader r) {
            super(new ArrayList<>());
            r.counted(5, () -> r.nested(() -> slots.add(r.u32()) && seeds.add(r.option(r::seed))));
            options = r.value();
        }
    }

    static final class Step extends Slots {
        /** The packed actions, or null. */
        final byte[] packed;
        /** The action for each slot, or null. */
        final List<Object> values;
        /** What is wrong with the values, or null: that ends the request, not the session. */
        final RlayException wrong;

        Step(Reader r) {
            super(r);
            RlayException found = null;
            if (r.payloadIsPacked()) {
                packed = r.raw(r.left());
                values = null;
            } else {
                packed = null;
                values = new ArrayList<>();
                try {
                    for (int i = 0; i < slots.size(); i++) { values.add(r.value()); }
                    r.end();
                } catch (RlayException e) {
                    found = e;
                    r.raw(r.left());
                }
            }
            wrong = found;
        }
    }

    static final class Attribute extends Slots {
        final String name;
        final int access;
        final List<Object> values;
        final Object kwargs;

        Attribute(Reader r) {
            super(r);
            name = r.text(256);
            access = r.u8();
            if (access > 2) { throw RlayException.malformed("an unknown access"); }
            values = access > 0 ? r.counted(4, r::value) : new ArrayList<>();
            if (access == 1 && values.size() != slots.size()) {
                throw RlayException.malformed("another number of values than of slots");
            }
            kwargs = access == 2 ? r.value() : null;
            if (access == 2 && Writer.names(kwargs) == null) {
                throw RlayException.malformed("keyword arguments that have no names");
            }
        }
    }

    // ----- Tokens (section 9)

    private static final SecureRandom RANDOM = new SecureRandom();

    static byte[] random32() {
        byte[] bytes = new byte[32];
        RANDOM.nextBytes(bytes);
        return bytes;
    }

    /**
     * Returns the proof that one side, "dialer" or "listener", knows the token, for a Hello and a Challenge (whole
     * frames).
     */
    static byte[] prove(String token, String side, byte[] hello, byte[] challenge) {
        try {
            byte[] secret = token.getBytes(StandardCharsets.UTF_8);
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(Reader.reversed(ByteBuffer.allocate(8).putLong(secret.length).array()));
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(digest.digest(secret), "HmacSHA256"));
            mac.update(("rlay " + side).getBytes(StandardCharsets.US_ASCII));
            mac.update(hello);
            return mac.doFinal(challenge);
        } catch (GeneralSecurityException e) {
            // Every Java has both algorithms.
            throw new IllegalStateException(e);
        }
    }

    /** Compares in a time that does not depend on where the two differ. */
    static boolean isSame(byte[] a, byte[] b) { return a != null && MessageDigest.isEqual(a, b); }
}
