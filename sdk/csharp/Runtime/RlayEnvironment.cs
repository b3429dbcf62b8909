// Hosts an environment in Unity: a component whose physics steps are an agent's steps.

using System;
using UnityEngine;

namespace Rlay.Unity {

/// <summary>
/// A scene as an environment. Derive from it, say what the spaces are, and add the component to one object:
/// <code>
/// public class Pong : RlayEnvironment {
///     protected override Spec Describe() => new Spec(new BoxSpace(-1, 1, DType.Float32, 4), new DiscreteSpace(3));
///     protected override ResetResult BeginEpisode(Seed seed, object options) { … }
///     protected override void Act(object action) { … }    // before each physics step
///     protected override StepResult EndStep() { … }       // after the last one
/// }
/// </code>
/// An exception in one of these is raised at the agent, and logged. While an agent plays, nothing but its steps should
/// move the scene: put what happens into Act, or into components that work in FixedUpdate.
/// </summary>
public abstract class RlayEnvironment : MonoBehaviour {
    /// <summary>The address to dial or to listen at. RLAY_ADDRESS takes its place if it is set.</summary>
    [SerializeField, Tooltip("Where the agent listens, or where to listen. RLAY_ADDRESS takes its place if it is set.")]
    protected string address = "tcp://127.0.0.1:5005";

    /// <summary>Whether this game listens.</summary>
    [SerializeField, Tooltip("Whether agents dial this game (ClientEnv), or this game dials an agent (ServerEnv).")]
    protected bool listens;

    /// <summary>Time.timeScale while an agent plays.</summary>
    [SerializeField, Tooltip("Time.timeScale while an agent plays: 1 for people to watch, 20 or more to train.")]
    protected float timeScale = 1;

    /// <summary>How many physics steps one action lasts.</summary>
    [SerializeField, Tooltip("How many physics steps one action lasts.")]
    protected int physicsSteps = 1;

    /// <summary>How many milliseconds physics waits for the agent that plays.</summary>
    [SerializeField, Tooltip("How long physics waits for the agent that plays. 0: never, it goes on without actions.")]
    protected int waitMilliseconds = 100;

    PolledEnv host;
    Turn turn;
    object action;
    int left;
    bool isScaled;
    float ownTimeScale;

    /// <summary>The spaces, and metadata with the render modes, if there are any.</summary>
    protected abstract Spec Describe();

    /// <summary>Puts everything where an episode begins. Without a seed (null) the random numbers go on.</summary>
    protected abstract ResetResult BeginEpisode(Seed seed, object options);

    /// <summary>Applies the action, before each physics step that it lasts.</summary>
    protected abstract void Act(object action);

    /// <summary>Says what has come of the action, after its last physics step.</summary>
    protected abstract StepResult EndStep();

    /// <summary>Draws a frame: for rgb_array an NdArray of uint8, (height, width, 3); for ansi a string.</summary>
    protected virtual object Draw() {
        throw new RlayException(ErrorCode.Usage, "this environment does not render");
    }

    /// <summary>The agent has left. Another one may come.</summary>
    protected virtual void AgentLeft(string reason) { }

    /// <summary>The options of the connection. An agent that launches a game tells it the token.</summary>
    protected virtual Options MakeOptions() => new Options {
        Token = Options.LaunchedToken, Log = line => Debug.Log(line),
    };

    /// <summary>Begins to look for agents. Unity calls it.</summary>
    protected virtual void OnEnable() {
        string place = Options.LaunchedAddress ?? address;
        Spec spec = Describe();
        host = listens ? PolledEnv.Listen(spec, place, MakeOptions()) : PolledEnv.Dial(spec, place, MakeOptions());
        if (listens) Debug.Log("rlay: listening at " + host.Address);
    }

    /// <summary>Says goodbye to the agent. Unity calls it.</summary>
    protected virtual void OnDisable() {
        host?.Close();
        host = null;
        turn = null;
        left = 0;
        Scale(false);
    }

    /// <summary>Plays. Unity calls it before each physics step.</summary>
    protected virtual void FixedUpdate() {
        if (left > 0 && --left > 0) {
            Attempt();
            return;
        }
        if (turn != null) {
            Attempt();
            turn = null;
        }
        while (host != null) {
            try {
                turn = host.Poll(waitMilliseconds);
            } catch (RlayException error) {
                // The listener has refused this game for good, as over a wrong token.
                Debug.LogError("rlay: " + error.Message);
                enabled = false;
                return;
            }
            Scale(host.IsPlaying);
            if (turn == null) return;
            if (turn.Kind == TurnKind.Step) {
                action = turn.Action;
                left = Math.Max(physicsSteps, 1);
            }
            // A step is answered after its physics, anything else at once.
            if (Attempt() && left > 0) return;
            turn = null;
            left = 0;
        }
    }

    /// <summary>Does what is due in the turn; false if it failed, which the agent has been told.</summary>
    bool Attempt() {
        try {
            switch (turn.Kind) {
                case TurnKind.Reset:
                    turn.Reply(BeginEpisode(turn.Seed, turn.Options));
                    break;
                case TurnKind.Step:
                    if (left > 0) Act(action);
                    else turn.Reply(EndStep());
                    break;
                case TurnKind.Render:
                    turn.ReplyFrame(Draw());
                    break;
                case TurnKind.Close:
                    AgentLeft(turn.Reason);
                    break;
            }
            return true;
        } catch (Exception error) {
            Debug.LogException(error);
            turn.Fail(error);
            left = 0;
            turn = null;
            return false;
        }
    }

    void Scale(bool isPlaying) {
        if (isPlaying == isScaled) return;
        isScaled = isPlaying;
        if (isPlaying) ownTimeScale = Time.timeScale;
        Time.timeScale = isPlaying ? timeScale : ownTimeScale;
    }
}

}
