package rlay;

import java.math.BigInteger;
import java.util.Map;

/**
 * An environment. One thread at a time calls its methods. What they throw arrives in Python as {@code rlay.EnvError},
 * with the class, the message and the stack trace.
 *
 * <pre>{@code
 * final class Walk implements Env {
 *     private float x;
 *
 *     public Space observationSpace() { return new Space.Box(-10, 10, Dtype.FLOAT32, 1); }
 *     public Space actionSpace() { return new Space.Discrete(2); }
 *
 *     public ResetResult reset(BigInteger seed, Object options) {
 *         x = 0;
 *         return new ResetResult(new float[] {x}, null);
 *     }
 *
 *     public StepResult step(Object action) {
 *         x += ((Number) action).intValue() == 1 ? 1 : -1;
 *         return new StepResult(new float[] {x}, x, Math.abs(x) >= 10, false, null);
 *     }
 * }
 * new ServerBackend(make -> new Walk(), "tcp://127.0.0.1:5005", new Options()).run();
 * }</pre>
 *
 * <p>{@link Value} says which Java object is which in Python. In an observation, a Java array of numbers in the place
 * of a Box, MultiDiscrete or MultiBinary becomes an array of that space's dtype and shape.
 */
public interface Env extends EnvDescription {
    /**
     * Starts an episode. The seed is null, or of any size and not negative: {@code seed.longValue()} has its low 64
     * bits; without one a random generator goes on as it is. Options are null or, mostly, a Map.
     */
    ResetResult reset(BigInteger seed, Object options) throws Exception;

    /** Takes an action. After the end of an episode it may be asked to, too, and decides what that means. */
    StepResult step(Object action) throws Exception;

    /** Returns a frame: for the mode rgb_array an NdArray of uint8 of shape (height, width, 3), for ansi a String. */
    default Object render() throws Exception {
        throw new UnsupportedOperationException("this environment does not render");
    }

    /** Ends the environment; it is asked nothing any more. */
    default void close() throws Exception { }

    /** What {@link #reset} returns. */
    final class ResetResult {
        final Object observation;
        final Map<?, ?> info;

        /** Makes the result; an info of null is an empty one. */
        public ResetResult(Object observation, Map<?, ?> info) {
            this.observation = observation;
            this.info = info;
        }
    }

    /** What {@link #step} returns. */
    final class StepResult {
        final Object observation;
        final double reward;
        final boolean terminated;
        final boolean truncated;
        final Map<?, ?> info;

        /** Makes the result; an info of null is an empty one. */
        public StepResult(Object observation, double reward, boolean terminated, boolean truncated, Map<?, ?> info) {
            this.observation = observation;
            this.reward = reward;
            this.terminated = terminated;
            this.truncated = truncated;
            this.info = info;
        }
    }
}
