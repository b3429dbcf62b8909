// One request of an agent, and the answers to it.

using System;

namespace Rlay {

/// <summary>What an agent asks for.</summary>
public enum TurnKind {
    /** <summary>To make an environment: Turn.Make. The poll form answers it by itself.</summary> */ Make,
    /** <summary>To start an episode: Turn.Seed, Turn.Options.</summary> */ Reset,
    /** <summary>To take an action: Turn.Action.</summary> */ Step,
    /** <summary>To draw a frame.</summary> */ Render,
    /** <summary>To close the environment, or the agent is gone: Turn.Reason. Needs no answer.</summary> */ Close,
}

/// <summary>
/// One request of an agent. Answer it once, by the method for its kind or by Fail; an answer to an agent that is
/// gone is dropped. Replies throw if what they are given cannot be sent: then call Fail. A session has one such
/// object and uses it for every turn.
/// </summary>
public sealed class Turn {
    readonly EnvSession session;

    internal Turn(EnvSession session) { this.session = session; }

    /// <summary>What the agent asks for.</summary>
    public TurnKind Kind { get; internal set; }
    /// <summary>Of Make: which environment.</summary>
    public Make Make { get; internal set; }
    /// <summary>Of Reset: Gymnasium's seed, or null.</summary>
    public Seed Seed { get; internal set; }
    /// <summary>Of Reset: Gymnasium's options, usually null or a <see cref="Dict"/>.</summary>
    public object Options { get; internal set; }
    /// <summary>Of Step: the action. The next step fills the same objects anew.</summary>
    public object Action { get; internal set; }
    /// <summary>Of Close: why, for people.</summary>
    public string Reason { get; internal set; }

    /// <summary>
    /// Answers Make. Throws if the metadata's "render_modes" do not have the mode that was asked for.
    /// </summary>
    public void Reply(Spec spec) => session.AnswerMake(spec);

    /// <summary>Answers Reset.</summary>
    public void Reply(ResetResult result) =>
        session.AnswerRow(TurnKind.Reset, new StepResult(result.Observation, 0, false, false, result.Info));

    /// <summary>Answers Step.</summary>
    public void Reply(StepResult result) => session.AnswerRow(TurnKind.Step, result);
    /// <summary>Answers Render.</summary>
    public void ReplyFrame(object frame) => session.AnswerFrame(frame);
    /// <summary>Answers Close, as soon as the environment is closed. To ask for the next turn does the same.</summary>
    public void ReplyClosed() => session.AnswerClosed();

    /// <summary>
    /// Answers any turn with an error: the agent's call raises it, with the type, message and stack trace, and the
    /// session goes on.
    /// </summary>
    public void Fail(Exception error) {
        if (error == null) throw new ArgumentNullException(nameof(error));
        var known = error as RlayException;
        if (known != null && IsSent(known.Code)) session.AnswerFailure(known.Code, "", known.Message, "");
        else Fail(error.GetType().FullName, Said(() => error.Message), Said(error.ToString));
    }

    /// <summary>Whether an answer may have this code; the others are about one end alone.</summary>
    static bool IsSent(ErrorCode code) =>
        (code >= ErrorCode.Usage && code <= ErrorCode.Busy) || code == ErrorCode.Incompatible
            || code == ErrorCode.Unauthorized;

    /// <summary>A text that code of a user makes, which may fail, too.</summary>
    static string Said(Func<string> text) {
        try {
            return text();
        } catch (Exception) {
            return "";
        }
    }

    /// <summary>The same without an exception.</summary>
    public void Fail(string errorType, string message, string trace = "") =>
        session.AnswerFailure(ErrorCode.Env, errorType, message, trace);
}

}
