package rlay;

import java.util.Map;

/**
 * What an agent is told of an environment. {@link Env} adds the methods that play. An environment that has this alone
 * is played in the poll form: {@link Backend#poll()} returns what its agent asks for.
 */
public interface EnvDescription {
    /** Returns the space of the observations. It is asked once. */
    Space observationSpace();

    /** Returns the space of the actions. It is asked once. */
    Space actionSpace();

    /**
     * Returns Gymnasium's metadata: {@code Value.dict("render_modes", Arrays.asList("rgb_array"), "render_fps", 30)};
     * null, if there are no render modes.
     */
    default Map<?, ?> metadata() { return null; }

    /** Returns what Gymnasium's EnvSpec says of the environment; null, if nothing. */
    default Details details() { return null; }

    /** Three facts of an environment; null where one is not known. */
    final class Details {
        final Double rewardThreshold;
        final Boolean nondeterministic;
        final Long maxEpisodeSteps;

        /**
         * Names the facts: from which reward on the task is solved, whether equal seeds may differ, how long an episode
         * may be.
         */
        public Details(Double rewardThreshold, Boolean nondeterministic, Long maxEpisodeSteps) {
            this.rewardThreshold = rewardThreshold;
            this.nondeterministic = nondeterministic;
            this.maxEpisodeSteps = maxEpisodeSteps;
        }
    }
}
