// What a program derives its environments from, and what describes them.
//
//     sealed class Coin : Rlay.Env {
//         readonly System.Random random = new System.Random();
//         public override EnvSpace ObservationSpace => new DiscreteSpace(2);
//         public override EnvSpace ActionSpace => new DiscreteSpace(2);
//         public override ResetResult Reset(Seed seed, object options) => new ResetResult(0);
//         public override StepResult Step(object guess) {
//             int side = random.Next(2);
//             return new StepResult(side, Value.ToInt64(guess) == side ? 1 : 0, terminated: true);
//         }
//     }
//
//     new ServerBackend(make => new Coin(), "tcp://127.0.0.1:5005").Run();

using System;
using System.Collections.Generic;

namespace Rlay {

/// <summary>What a reset gives.</summary>
public struct ResetResult {
    /// <summary>The first observation of the episode.</summary>
    public readonly object Observation;
    /// <summary>Anything else for the agent's user; null is an empty Dict.</summary>
    public readonly Dict Info;

    /// <summary>A result of a reset.</summary>
    public ResetResult(object observation, Dict info = null) {
        Observation = observation;
        Info = info;
    }
}

/// <summary>What a step gives, in Gymnasium's words.</summary>
public struct StepResult {
    /// <summary>The observation after the step.</summary>
    public readonly object Observation;
    /// <summary>The reward.</summary>
    public readonly double Reward;
    /// <summary>Whether the episode has ended by its own rules.</summary>
    public readonly bool Terminated;
    /// <summary>Whether the episode was cut short, as by a limit of time.</summary>
    public readonly bool Truncated;
    /// <summary>Anything else for the agent's user; null is an empty Dict.</summary>
    public readonly Dict Info;

    /// <summary>A result of a step.</summary>
    public StepResult(
        object observation, double reward, bool terminated = false, bool truncated = false, Dict info = null) {
        Observation = observation;
        Reward = reward;
        Terminated = terminated;
        Truncated = truncated;
        Info = info;
    }
}

/// <summary>
/// An environment, as Gymnasium's Env. All calls come one after another on one thread. What an environment throws
/// is raised at the agent as rlay.EnvError, with its type, message and stack trace, and the session goes on.
/// </summary>
public abstract class Env {
    /// <summary>The space of observations. An observation outside it arrives all the same.</summary>
    public abstract EnvSpace ObservationSpace { get; }
    /// <summary>The space of actions.</summary>
    public abstract EnvSpace ActionSpace { get; }
    /// <summary>Starts an episode. Without a seed (null) the random generator goes on as it is.</summary>
    public abstract ResetResult Reset(Seed seed, object options);

    /// <summary>
    /// Takes an action, a value as <see cref="Value"/> says. The next step fills the same objects with another
    /// action: copy what you want to keep. The objects that are returned may be used again, too.
    /// </summary>
    public abstract StepResult Step(object action);

    /// <summary>
    /// Gymnasium's metadata; null if there are no render modes. An agent may ask for the modes listed in "render_modes"
    /// alone.
    /// </summary>
    public virtual Dict Metadata => null;
    /// <summary>"reward_threshold", "nondeterministic", "max_episode_steps", as far as they are known.</summary>
    public virtual Dict Details => new Dict();

    /// <summary>
    /// A frame: of rgb_array an <see cref="NdArray"/> of uint8 of shape (height, width, 3), of ansi a string.
    /// </summary>
    public virtual object Render() {
        throw new RlayException(ErrorCode.Usage, "this environment does not render");
    }

    /// <summary>Closes the environment; called once, at the end of the session.</summary>
    public virtual void Close() { }
}

/// <summary>What an environment is to the agent: its spaces and the rest of Gymnasium's description.</summary>
public sealed class Spec {
    internal readonly EnvSpace ObservationSpace, ActionSpace;
    internal readonly Dict Metadata, Details;

    /// <summary>A description. Metadata and details may be null.</summary>
    public Spec(EnvSpace observationSpace, EnvSpace actionSpace, Dict metadata = null, Dict details = null) {
        if (observationSpace == null || actionSpace == null) throw new ArgumentException("there are two spaces");
        ObservationSpace = observationSpace;
        ActionSpace = actionSpace;
        Metadata = metadata ?? new Dict { { "render_modes", new List<object>() } };
        Details = details ?? new Dict();
    }

    /// <summary>The description of an environment.</summary>
    public Spec(Env env) : this(env.ObservationSpace, env.ActionSpace, env.Metadata, env.Details) { }
}

/// <summary>What the agent wants made.</summary>
public sealed class Make {
    internal uint Slots;
    internal byte Autoreset;

    /// <summary>Which environment, or null.</summary>
    public string EnvId { get; internal set; }
    /// <summary>Keyword arguments: only those that <see cref="Options.AllowedKwargs"/> lists.</summary>
    public Dict Kwargs { get; internal set; }
    /// <summary>The render mode, or null.</summary>
    public string RenderMode { get; internal set; }
}

}
