import java.math.BigInteger;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import rlay.Backend;
import rlay.ClientBackend;
import rlay.Dtype;
import rlay.Env;
import rlay.EnvDescription;
import rlay.EnvSession;
import rlay.Make;
import rlay.Options;
import rlay.RlayException;
import rlay.RlayException.Code;
import rlay.ServerBackend;
import rlay.Space;
import rlay.Value;
import rlay.Value.NdArray;
import rlay.Value.Scalar;

/**
 * A caller that does all of it wrong gets errors. Without arguments it makes every mistake that takes no agent; with
 * {@code --listen ADDRESS} it hosts environments that are wrong in the way that the id says, and a log that throws.
 */
public final class Misuse {
    private static final double INF = Double.POSITIVE_INFINITY;
    private static Backend backend;

    /** What may throw anything. */
    private interface Mistake {
        void make() throws Exception;
    }

    /** Fails unless the mistake throws a RlayException of this code whose message has this text. */
    private static void expect(Code code, String text, Mistake mistake) throws Exception {
        try {
            mistake.make();
        } catch (RlayException e) {
            if (e.code() == code && e.getMessage().contains(text)) { return; }
            throw e;
        }
        throw new AssertionError("no error of code " + code + ": " + text);
    }

    /** Fails unless the mistake throws an IllegalArgumentException. */
    private static void refuses(String what, Mistake mistake) throws Exception {
        try {
            mistake.make();
        } catch (IllegalArgumentException e) {
            return;
        }
        throw new AssertionError("not refused: " + what);
    }

    private static void check(boolean isSo, String what) {
        if (!isSo) { throw new AssertionError("not so: " + what); }
    }

    private static void mistakeSpaces() throws Exception {
        refuses("a bound that is NaN", () -> new Space.Box(Double.NaN, 1, Dtype.FLOAT32, 2));
        refuses("another one", () -> new Space.Box(0, Double.NaN, Dtype.INT32, 2));
        refuses("bounds in the wrong order", () -> new Space.Box(1, 0, Dtype.FLOAT32, 2));
        refuses("fractions in the wrong order", () -> new Space.Box(0.5, 0.25, Dtype.FLOAT32, 2));
        refuses("infinite ones", () -> new Space.Box(INF, INF, Dtype.FLOAT64));
        refuses("a bound that uint8 does not have", () -> new Space.Box(0, 256, Dtype.UINT8, 2));
        refuses("a fraction", () -> new Space.Box(0.5, 1, Dtype.INT8, 2));
        refuses("a negative size", () -> new Space.Box(0, 1, Dtype.FLOAT32, -2));
        refuses("a size beyond all memory", () -> new Space.Box(0, 1, Dtype.FLOAT32, Long.MAX_VALUE, Long.MAX_VALUE));
        refuses("several bounds, one NaN",
            () -> new Space.Box(new double[] {0, Double.NaN}, new double[] {1, 2}, Dtype.FLOAT32));
        refuses("numbers of bounds", () -> new Space.Box(new double[] {0, 1}, new double[] {1, 2, 3}, Dtype.FLOAT32));
        NdArray one = NdArray.of(Dtype.FLOAT32, new float[] {1});
        refuses("bounds of other shapes", () -> new Space.Box(one, NdArray.of(Dtype.FLOAT32, new float[] {1, 2})));
        refuses("bounds of other dtypes", () -> new Space.Box(one, NdArray.of(Dtype.FLOAT64, new double[] {1})));
        refuses("no integers", () -> new Space.Discrete(0));
        refuses("less than none", () -> new Space.Discrete(-3));
        refuses("integers of float32", () -> new Space.Discrete(3, 0, Dtype.FLOAT32));
        refuses("a negative count", () -> new Space.MultiBinary(-1));
        refuses("a count of 0", () -> new Space.MultiDiscrete(3, 0));
        refuses("starts that do not fit", () -> new Space.MultiDiscrete(new long[] {3, 4}, new long[] {1}));
        refuses("a negative length", () -> new Space.Text(-1));
        refuses("lengths in the wrong order", () -> new Space.Text(3, 2, "ab"));
        refuses("no charset", () -> new Space.Text(1, 2, null));
        refuses("null in a Tuple", () -> new Space.Tuple(new Space.Discrete(2), null));
        refuses("null in a Dict", () -> new Space.Dict().with("a", null));
        refuses("a key twice",
            () -> new Space.Dict().with("a", new Space.Discrete(2)).with("a", new Space.Discrete(2)));
        refuses("a Sequence of null", () -> new Space.Sequence(null));
        refuses("a Graph of null", () -> new Space.Graph(null, null));
        refuses("a OneOf of nothing", () -> new Space.OneOf());
    }

    private static void mistakeValues() throws Exception {
        refuses("a shape that does not fit", () -> NdArray.of(Dtype.FLOAT32, new float[6], 4));
        refuses("a negative size", () -> new NdArray(Dtype.INT8, new long[] {-1}, new byte[1]));
        refuses("an array of texts", () -> NdArray.of(Dtype.INT8, new String[] {"a"}));
        refuses("a number that int8 does not have", () -> Scalar.of(Dtype.INT8, 128));
        refuses("NaN as an integer", () -> Scalar.of(Dtype.INT8, Double.NaN));
        refuses("a name without a value", () -> Value.dict("a"));
    }

    private static void mistakeOptions() throws Exception {
        expect(Code.USAGE, "eight visible", () -> new Options().token("seven 7"));
        expect(Code.USAGE, "eight visible", () -> new Options().token("\t           \n"));
        expect(Code.USAGE, "could not be read", () -> new Options().token("half of a pair \ud83c"));
        expect(Code.USAGE, "UTF-8", () -> new Options().token("what a locale has broken \uFFFD"));
        expect(Code.USAGE, "maxSessions", () -> new Options().maxSessions(0));
        expect(Code.USAGE, "maxFrame", () -> new Options().maxFrame(-1));
        expect(Code.USAGE, "maxFrame", () -> new Options().maxFrame(Long.MAX_VALUE));
        expect(Code.USAGE, "null", () -> new Options().kwargs("size", null));
    }

    private static void mistakeAddresses() throws Exception {
        for (String address : new String[] {
            null, "", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://localhost:-1",
            "tcp://localhost:70000", "tcp://localhost: 5", "tcp://::1:5005", "tcp://127.0.0.1:0?mtu=9",
            "tcp://127.0.0.1:0/path", "tcp://0.0.0.0:0",
        }) {
            expect(Code.ADDRESS, "tcp", () -> new ServerBackend(make -> null, address, null));
        }
        for (String address : new String[] {"unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005",
            "ws://127.0.0.1:5005"}) {
            expect(Code.ADDRESS, "use tcp://host:port at both ends",
                () -> new ServerBackend(make -> null, address, null));
            expect(Code.ADDRESS, "use tcp://host:port at both ends",
                () -> new ClientBackend(make -> null, address, null));
        }
        expect(Code.ADDRESS, "RLAY_ADDRESS", () -> new ClientBackend(make -> null, null));
    }

    private static void mistakeBackends() throws Exception {
        expect(Code.USAGE, "factory", () -> new ServerBackend(null, "tcp://127.0.0.1:0", null));
        ServerBackend listening = new ServerBackend(make -> null, "tcp://127.0.0.1:0", new Options().log(null));
        listening.start();
        expect(Code.USAGE, "started already", listening::start);
        check(listening.poll() == null, "no agent");
        listening.close();
        listening.close();
        listening.run();
        ServerBackend unused = new ServerBackend(make -> null, "tcp://127.0.0.1:0", null);
        unused.close();
        unused.run();
        expect(Code.CLOSED, "closed", unused::start);
        ClientBackend dialing = new ClientBackend(make -> null, "tcp://127.0.0.1:1", new Options().log(null));
        dialing.start();
        expect(Code.USAGE, "started already", dialing::run);
        dialing.close();
    }

    private static void mistakeSessions() {
        EnvSession session = new EnvSession(null);
        session.goodbye();
        session.goodbye();
        check(session.isOver() && session.nextTurn() == null && session.dial().isAborted(), "over");
    }

    private static void closeBeside() {
        backend.close();
        System.out.println("closed beside a step");
        System.exit(0);
    }

    private static EnvDescription make(Make make) {
        if ("make throws".equals(make.envId())) { throw new IllegalStateException("make"); }
        return "make gives nothing".equals(make.envId()) ? null : new Wrong(make.envId());
    }

    /** An environment that is wrong in one way. */
    private static final class Wrong implements Env {
        private final String how;

        Wrong(String how) { this.how = how == null ? "" : how; }

        @Override public Space observationSpace() {
            return how.equals("no space") ? null : new Space.Box(0, 1, Dtype.FLOAT32, 2);
        }

        @Override public Space actionSpace() { return new Space.Discrete(2); }

        @Override public Map<?, ?> metadata() {
            return Collections.singletonMap("render_modes", Arrays.asList("ansi"));
        }

        @Override public ResetResult reset(BigInteger seed, Object options) {
            if (how.equals("reset throws")) { throw new IllegalStateException("reset"); }
            return how.equals("reset gives nothing") ? null : new ResetResult(new float[2], null);
        }

        @Override public StepResult step(Object action) {
            switch (how) {
                case "step throws": throw new IllegalStateException("step");
                case "step throws what cannot be shown": throw new Unspeakable();
                case "step gives nothing": return null;
                case "step cannot be sent": return new StepResult(new Thread(), 0, false, false, null);
                case "step closes the backend": backend.close(); break;
                case "step hangs":
                    new Thread(Misuse::closeBeside).start();
                    for (;;) { LockSupport.park(); }
                default:
            }
            return new StepResult(new float[2], 0, false, false, null);
        }

        @Override public Object render() {
            if (how.equals("render throws")) { throw new IllegalStateException("render"); }
            return how.equals("render cannot be sent") ? (Object) new Thread() : "frame";
        }

        @Override public void close() {
            if (how.equals("close throws")) { throw new IllegalStateException("close"); }
        }
    }

    private static final class Unspeakable extends RuntimeException {
        private static final long serialVersionUID = 1;

        @Override public String getMessage() { throw new IllegalStateException("no message"); }
    }

    public static void main(String[] args) throws Exception {
        if (args.length == 2 && args[0].equals("--listen")) {
            Options options = new Options().log(line -> { throw new IllegalStateException("the log: " + line); });
            backend = new ServerBackend(Misuse::make, args[1], options);
            backend.start();
            System.out.println("listening at " + backend.address());
            backend.run();
            System.out.println("closed");
            return;
        }
        mistakeSpaces();
        mistakeValues();
        mistakeOptions();
        mistakeAddresses();
        mistakeBackends();
        mistakeSessions();
        System.out.println("all mistakes are errors");
    }
}
