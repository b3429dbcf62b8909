package rlay;

import java.util.Map;

/** What an agent asks for when it makes an environment. */
public final class Make {
    private final String envId;
    private final Map<String, Object> kwargs;
    private final String renderMode;

    Make(String envId, Map<String, Object> kwargs, String renderMode) {
        this.envId = envId;
        this.kwargs = kwargs;
        this.renderMode = renderMode;
    }

    /** Returns the name of the environment, or null; a factory of several decides by it. */
    public String envId() { return envId; }

    /** Returns the keyword arguments, all of them among those that {@link Options#kwargs} allows. */
    public Map<String, Object> kwargs() { return kwargs; }

    /** Returns the render mode, or null. A factory throws for one that the environment does not have. */
    public String renderMode() { return renderMode; }

    /** Makes environments, one for each session. */
    public interface Factory {
        /**
         * Returns a new environment: an {@link Env}, or an EnvDescription for the poll form. It is called on a thread
         * of RLay, even in the poll form. What it throws refuses the agent.
         */
        EnvDescription make(Make make) throws Exception;
    }
}
