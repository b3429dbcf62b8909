import java.math.BigInteger;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import rlay.Backend;
import rlay.ClientBackend;
import rlay.Dtype;
import rlay.Env;
import rlay.EnvDescription;
import rlay.Make;
import rlay.Options;
import rlay.ServerBackend;
import rlay.Space;
import rlay.Value;
import rlay.Value.GraphInstance;
import rlay.Value.NdArray;
import rlay.Value.Scalar;

/** The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo. */
public final class Game {
    private static final double INF = Double.POSITIVE_INFINITY;

    /** The generator: PCG32 (XSH-RR). */
    private static final class Pcg32 {
        private long state;

        void seed(long seed) {
            state = 0;
            next();
            state += seed;
            next();
        }

        /** Returns 32 bits, as a number that is not negative. */
        long next() {
            long old = state;
            state = old * 6364136223846793005L + 109;
            int x = (int) ((old >>> 18 ^ old) >>> 27);
            return Integer.rotateRight(x, (int) (old >>> 59)) & 0xFFFFFFFFL;
        }
    }

    private static final class Drift implements Env {
        private final Pcg32 random = new Pcg32();
        private final String renderMode;
        private final byte[] board = new byte[64];
        private long[] dials;
        private byte[] lights;
        private double x;
        private double v;
        private long fuel;
        private long t;

        Drift(String renderMode) {
            if (renderMode != null && !renderMode.equals("rgb_array") && !renderMode.equals("ansi")) {
                throw new IllegalArgumentException("no render mode " + renderMode);
            }
            this.renderMode = renderMode;
            random.seed(0);
        }

        @Override
        public Space observationSpace() {
            return new Space.Dict()
                .with("board", new Space.Box(0, 255, Dtype.UINT8, 8, 8))
                .with("dials", new Space.MultiDiscrete(3, 5))
                .with("fuel", new Space.Discrete(32))
                .with("lights", new Space.MultiBinary(4))
                .with("position", new Space.Box(-INF, INF, Dtype.FLOAT64, 2));
        }

        @Override
        public Space actionSpace() {
            return new Space.Discrete(3);
        }

        @Override
        public Map<String, Object> metadata() {
            return Value.dict("render_modes", Arrays.asList("rgb_array", "ansi"), "render_fps", 25);
        }

        @Override
        public Details details() {
            return new Details(60.0, false, 100L);
        }

        @Override
        public ResetResult reset(BigInteger seed, Object options) {
            if (seed != null) {
                random.seed(seed.longValue());
            }
            t = 0;
            x = random.next() / 2147483648.0 - 1;
            v = 0;
            fuel = 20 + random.next() % 12;
            for (int i = 0; i < board.length; i++) {
                board[i] = (byte) random.next();
            }
            lamps();
            if (options instanceof Map && ((Map<?, ?>) options).containsKey("sleep")) {
                double seconds = (Double) ((Map<?, ?>) options).get("sleep");
                LockSupport.parkNanos((long) (1e9 * seconds));
            }
            return new ResetResult(observation(), Value.dict("seeded", seed != null, "options", options));
        }

        @Override
        public StepResult step(Object given) {
            long action = ((Number) given).longValue();
            if (action < 0 || action > 2) {
                throw new IllegalArgumentException("an action from 0 to 2, not " + given);
            }
            t += 1;
            v = v * 0.9375 + (action - 1) * 0.0625 + (random.next() / 4294967296.0 - 0.5) * 0.03125;
            x = x + v;
            fuel -= action != 1 && fuel > 0 ? 1 : 0;
            int cell = (int) (random.next() % 64);
            board[cell] = (byte) random.next();
            lamps();
            boolean terminated = x > 2 || x < -2 || fuel == 0;
            Map<String, Object> info = Value.dict("t", t, "speed", Math.abs(v), "far", x > 1 || x < -1,
                "name", "drift – é漢🎲");
            return new StepResult(observation(), 1 - x * x, terminated, t >= 100, info);
        }

        private void lamps() {
            dials = new long[] {t % 3, random.next() % 5};
            long n = random.next() & 15;
            lights = new byte[] {(byte) (n & 1), (byte) (n >> 1 & 1), (byte) (n >> 2 & 1), (byte) (n >> 3)};
        }

        private Object observation() {
            return Value.dict("board", board, "dials", dials, "fuel", fuel, "lights", lights,
                "position", new double[] {x, v});
        }

        @Override
        public Object render() {
            if (renderMode.equals("ansi")) {
                return "t=" + t;
            }
            byte[] pixels = new byte[3 * 64];
            for (int i = 0; i < 64; i++) {
                pixels[3 * i] = board[i];
                pixels[3 * i + 1] = (byte) (255 - board[i]);
                pixels[3 * i + 2] = (byte) t;
            }
            return NdArray.of(Dtype.UINT8, pixels, 8, 8, 3);
        }
    }

    private static final Space[] CASES = {
        new Space.Box(-1, 1, Dtype.FLOAT32, 2, 3),
        new Space.Box(0, 255, Dtype.UINT8, 4, 5, 3),
        new Space.Box(-INF, INF, Dtype.FLOAT64),
        new Space.Discrete(5, -2),
        new Space.MultiBinary(new long[] {2, 3}),
        new Space.MultiDiscrete(new long[] {3, 5, 2}, new long[] {0, -1, 7}),
        new Space.Text(1, 12, "aé漢🎲 b"),
        new Space.Tuple(new Space.Discrete(3), new Space.Box(0, 1, Dtype.FLOAT64, 2)),
        new Space.Dict().with("a", new Space.Discrete(2))
            .with("b", new Space.Tuple(new Space.MultiBinary(3), new Space.Text(4))),
        new Space.Sequence(new Space.Box(0, 1, Dtype.FLOAT32, 2)),
        new Space.Sequence(new Space.Discrete(4), true),
        new Space.Graph(new Space.Box(-1, 1, Dtype.FLOAT32, 3), new Space.Discrete(4)),
        new Space.OneOf(new Space.Discrete(3), new Space.Box(-1, 1, Dtype.FLOAT32, 2)),
        new Space.Box(-1, 1, Dtype.FLOAT16, 3),
        new Space.Box(0, 1, Dtype.BOOL, 2),
        new Space.Box(Long.MIN_VALUE, Long.MAX_VALUE, Dtype.INT64, 2),
        new Space.Box(new double[] {-1, -INF}, new double[] {1, 5}, Dtype.FLOAT32),
        new Space.Graph(new Space.Box(-1, 1, Dtype.FLOAT64, 2), null),
    };

    /** Returns what an Echo observes after a reset. */
    private static Object zero(Space space) {
        if (space instanceof Space.Box) {
            return NdArray.zeros(((Space.Box) space).dtype(), ((Space.Box) space).shape());
        }
        if (space instanceof Space.Discrete) {
            return ((Space.Discrete) space).start();
        }
        if (space instanceof Space.MultiBinary) {
            return NdArray.zeros(Dtype.INT8, ((Space.MultiBinary) space).shape());
        }
        if (space instanceof Space.MultiDiscrete) {
            return ((Space.MultiDiscrete) space).start();
        }
        if (space instanceof Space.Text) {
            Space.Text text = (Space.Text) space;
            StringBuilder least = new StringBuilder();
            for (long i = 0; i < text.minLength(); i++) {
                least.appendCodePoint(text.charset().codePointAt(0));
            }
            return least.toString();
        }
        if (space instanceof Space.Tuple) {
            return Value.tuple(((Space.Tuple) space).spaces().stream().map(Game::zero).toArray());
        }
        if (space instanceof Space.Dict) {
            Map<Object, Object> zeros = new LinkedHashMap<>();
            ((Space.Dict) space).spaces().forEach((key, member) -> zeros.put(key, zero(member)));
            return zeros;
        }
        if (space instanceof Space.Sequence) {
            return ((Space.Sequence) space).isStacked() ? NdArray.zeros(Dtype.INT64, 0) : Value.tuple();
        }
        if (space instanceof Space.Graph) {
            Space.Box node = (Space.Box) ((Space.Graph) space).node();
            return new GraphInstance(NdArray.zeros(node.dtype(), 1, node.shape()[0]), null, null);
        }
        return Value.tuple(Scalar.of(Dtype.INT64, 0), zero(((Space.OneOf) space).spaces().get(0)));
    }

    private static final class Echo implements Env {
        private final Space space;

        Echo(Object number) {
            space = CASES[((Number) number).intValue()];
        }

        @Override
        public Space observationSpace() {
            return space;
        }

        @Override
        public Space actionSpace() {
            return space;
        }

        @Override
        public ResetResult reset(BigInteger seed, Object options) {
            return new ResetResult(zero(space), Value.dict("seeded", seed != null, "options", options));
        }

        @Override
        public StepResult step(Object action) {
            return new StepResult(action, 0.5, false, false, null);
        }
    }

    private static EnvDescription make(Make make) {
        if ("Echo".equals(make.envId())) {
            return new Echo(make.kwargs().get("case"));
        }
        if (make.envId() != null && !make.envId().equals("Drift")) {
            throw new IllegalArgumentException("no environment named " + make.envId());
        }
        return new Drift(make.renderMode());
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> given = new LinkedHashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            given.put(args[i], args[i + 1]);
        }
        Options options = new Options().kwargs("case").maxSessions(
            Integer.parseInt(given.getOrDefault("--sessions", "1")));
        if (given.containsKey("--listen")) {
            try (Backend backend = new ServerBackend(Game::make, given.get("--listen"), options)) {
                backend.start();
                System.out.println("listening at " + backend.address());
                backend.run();
            }
        } else {
            try (Backend backend = new ClientBackend(Game::make, given.get("--dial"), options)) {
                backend.run();
            }
        }
    }
}
