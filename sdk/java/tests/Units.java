package rlay;

import java.nio.ByteBuffer;
import java.util.Arrays;
import rlay.Value.NdArray;

/** Checks what no agent can see: `java -cp target/sdk/java/rlay.jar:target/sdk/java/tests rlay.Units`. */
public final class Units {
    private static void check(boolean isSo, String what) {
        if (!isSo) {
            throw new AssertionError(what);
        }
    }

    private static void refuses(String what, Runnable task) {
        try {
            task.run();
        } catch (IllegalArgumentException | RlayException e) {
            return;
        }
        throw new AssertionError("not refused: " + what);
    }

    private static void numbers() {
        for (int bits = 0; bits < 65536; bits++) {
            double x = Dtype.fromFloat16(bits);
            check(Double.isNaN(x) || Dtype.toFloat16(x) == bits, "float16 " + bits);
        }
        check(Dtype.toFloat16(1 + 0x1p-11) == 0x3C00 && Dtype.toFloat16(1 + 3 * 0x1p-11) == 0x3C02, "ties to even");
        check(Dtype.toFloat16(65519.9) == 0x7BFF && Dtype.toFloat16(65520) == 0x7C00, "the largest float16");
        check(NdArray.of(Dtype.UINT64, new double[] {0x1p63}).getDouble(0) == 0x1p63, "uint64 beyond int64");
        check(Arrays.equals(NdArray.of(Dtype.INT16, new int[] {-3, 7}).toLongs(), new long[] {-3, 7}), "int16");
        refuses("a number that uint8 does not have", () -> NdArray.of(Dtype.UINT8, new int[] {256}));
        refuses("a fraction in an int64", () -> NdArray.of(Dtype.INT64, new double[] {0.5}));
        refuses("a negative uint64", () -> NdArray.of(Dtype.UINT64, new double[] {-1}));
        refuses("another number of elements", () -> NdArray.of(Dtype.INT8, new byte[5], 2, 3));
    }

    private static void addresses() {
        for (String address : new String[] {"unix:///tmp/x", "shm://x", "tcp://h", "tcp://h:70000", "h:1",
            "tcp://h:1?x=y", "tcp://0.0.0.0:0"}) {
            refuses(address, () -> new ServerBackend(make -> null, address, new Options().token(null)));
        }
        new ServerBackend(make -> null, "tcp://[::1]:0", new Options().token(null));
        new ServerBackend(make -> null, "tcp://0.0.0.0:0?insecure_allow_remote=yes", new Options().token(null));
        refuses("a short token", () -> new Options().token("seven 7"));
    }

    /** Sends what one connection has to another, as a socket would. */
    private static void carry(Connection from, Connection to) {
        for (ByteBuffer bytes; (bytes = from.take()) != null; ) {
            byte[] copy = new byte[bytes.remaining()];
            bytes.get(copy);
            to.receive(copy, 0, copy.length);
        }
    }

    /**
     * A session whose peer acknowledges nothing keeps a bounded number of frames, and one that says nothing has no
     * turn.
     */
    private static void sessions() {
        EnvSession session = new EnvSession(new Options().token(null));
        Connection dialed = session.dial();
        Message.Welcome welcome = new Message.Welcome();
        welcome.features = Message.RESUMABLE;
        welcome.maxFrame = 65536;
        welcome.peer = "test";
        welcome.ticket = new byte[32];
        Connection peer = new Connection();
        peer.handshake = frame -> peer.push(welcome.write().finish());
        carry(dialed, peer);
        carry(peer, dialed);
        check(dialed.isOpen() && session.nextTurn() == null, "admitted");
        for (int seq = 1; seq < 5000; seq++) {
            // Refused each time, for there is no environment.
            byte[] step = new Writer(65536).header(Message.RENDER, seq, 0, 0).u64(0).frame();
            session.receive(dialed, step);
            dialed.take();
        }
        check(!session.isOver() && session.received() == 4999, "goes on");
        dialed.lost();
        check(session.isLost() && !session.isOver(), "can be resumed");
        Connection again = session.dial();
        welcome.features = Message.RESUMING;
        welcome.ticket = null;
        welcome.received = 0L;
        Connection other = new Connection();
        other.handshake = frame -> other.push(welcome.write().finish());
        carry(again, other);
        carry(other, again);
        check(session.isOver() && !again.isOpen(), "what was not kept cannot be sent again");
    }

    public static void main(String[] args) {
        numbers();
        addresses();
        sessions();
        System.out.println("ok");
    }
}
