// One session without sockets, clocks or threads: docs/wire.md, sections 10, 13 and 21.

using System;
using System.Collections;

namespace Rlay {

/// <summary>
/// One session without sockets, clocks or threads: bytes in, turns out; answers in, bytes out. For programs that dial
/// with a socket of their own:
/// <code>
/// session.Connected();                          // after each connect
/// session.Receive(bytes, 0, count);             // what the socket has brought
/// Turn turn = session.NextTurn();               // null: nothing to do yet
/// session.Output, session.Sent(count)           // what is to be sent, also after the session is over
/// session.IsOvertaken                           // then close the socket, and:
/// session.ConnectionLost("why");                // then dial again while CanResume, or GiveUp("why")
/// </code>
/// </summary>
public sealed class EnvSession {
    enum State { NoEnv, Making, Open, Closing, Closed }

    /// <summary>
    /// Output beyond which no more requests are taken: an agent that does not read gets no more work done.
    /// </summary>
    const int UnsentLimit = 1 << 16;

    static readonly Dict NoInfo = new Dict();
    static readonly ArraySegment<byte> Nothing = new ArraySegment<byte>(new byte[0]);

    readonly Options options;
    readonly Turn turn;
    readonly Reader reader = new Reader();
    readonly Outbox outbox = new Outbox();
    readonly Rows actions = new Rows(1), observations = new Rows(1);
    readonly Message message = new Message();
    FrameReader inbox = new FrameReader();
    DialerHandshake handshake;
    State state;
    Spec spec;
    string renderMode;
    byte[] ticket;
    ulong request, peerAcked, frameLimit;
    bool isReady, isOwed, isCloseDue;

    /// <summary>A session that will dial.</summary>
    public EnvSession(Options options) {
        this.options = Options.Checked(options);
        turn = new Turn(this);
        IsSuspended = true;
    }

    /// <summary>A session whose handshake a listener has done. Without a ticket it ends with its connection.</summary>
    internal EnvSession(Options options, ulong frameLimit, byte[] ticket) : this(options) {
        Admit(frameLimit, ticket);
    }

    void Admit(ulong limit, byte[] newTicket) {
        IsAdmitted = true;
        frameLimit = limit;
        ticket = newTicket;
        outbox.Keeps = newTicket != null;
    }

    /// <summary>Whether the session has ended.</summary>
    public bool IsOver => Error != null;
    /// <summary>Why the session has ended; null while it has not.</summary>
    public RlayException Error { get; private set; }
    /// <summary>Whether another connection can take the place of one that was lost, or has to be the first.</summary>
    public bool CanResume => !IsOver && (ticket != null || !IsAdmitted);
    /// <summary>
    /// Whether the connection is one that a later one has overtaken: close it, and call ConnectionLost.
    /// </summary>
    public bool IsOvertaken { get; private set; }
    /// <summary>Whether the listener has let the dialer in, over any connection.</summary>
    internal bool IsAdmitted { get; private set; }
    /// <summary>Whether the agent has asked for an environment.</summary>
    internal bool HasBegun { get; private set; }
    /// <summary>Whether an episode was started.</summary>
    internal bool HasPlayed { get; private set; }
    /// <summary>Whether it has no connection, or takes nothing from it any more.</summary>
    internal bool IsSuspended { get; private set; }
    /// <summary>Whether a dialer's handshake is under way.</summary>
    internal bool IsShaking => handshake != null;
    /// <summary>The number of the last frame that was received.</summary>
    internal ulong Received { get; private set; }
    /// <summary>Held while the session changes, for a listener's threads look at it.</summary>
    internal readonly object Gate = new object();
    /// <summary>Called after each answer, to send it at once.</summary>
    internal Action Answered;

    /// <summary>
    /// Begins the handshake over a new connection. It resumes the session if that was admitted before.
    /// </summary>
    public void Connected() => Connected(new FrameReader());

    internal void Connected(FrameReader bytes) {
        lock (Gate) {
            inbox = bytes;
            inbox.Limit = Handshake.FrameLimit;
            handshake = new DialerHandshake(options, ticket, Received);
            IsSuspended = false;
            IsOvertaken = false;
        }
    }

    /// <summary>
    /// Goes on over a connection whose other end has received the frames up to this number; false if that
    /// connection is to be closed, for a later one has overtaken it. May end the session.
    /// </summary>
    internal bool Resume(FrameReader bytes, ulong peerReceived) {
        lock (Gate) {
            if (peerReceived < peerAcked) return false;
            inbox = bytes;
            inbox.Limit = frameLimit;
            IsSuspended = false;
            if (peerReceived > outbox.Last) {
                Abort(Reader.Malformed("frame " + peerReceived + " was never sent"));
            } else if (!outbox.RewindTo(peerReceived)) {
                GiveUp("more was lost with the connection than was kept");
            } else {
                peerAcked = peerReceived;
            }
            return true;
        }
    }

    /// <summary>
    /// Takes nothing more from the connection, for another one replaces it. Returns how many frames have arrived.
    /// </summary>
    internal ulong Suspend() {
        lock (Gate) {
            IsSuspended = true;
            return Received;
        }
    }

    /// <summary>
    /// Says that the connection has ended. The session ends with it unless CanResume; else dial again and call
    /// Connected, or GiveUp.
    /// </summary>
    public void ConnectionLost(string why) {
        lock (Gate) {
            IsSuspended = true;
            handshake = null;
            if (!CanResume) GiveUp(why);
        }
    }

    /// <summary>Ends a session that has no connection.</summary>
    public void GiveUp(string why) {
        lock (Gate) End(new RlayException(ErrorCode.ConnectionLost, why));
    }

    /// <summary>Ends the session in an orderly way; what is left of the output is to be sent.</summary>
    public void Goodbye(ErrorCode code = 0, string why = "this end said goodbye") {
        lock (Gate) {
            if (IsOver) return;
            if (IsAdmitted) {
                outbox.Begin(Kind.Goodbye, Received, 0).U32((uint)code).CutText(why);
                outbox.Commit();
            }
            End(new RlayException(ErrorCode.Closed, why));
        }
    }

    /// <summary>Takes bytes that have arrived.</summary>
    public void Receive(byte[] data, int offset, int count) {
        while (count > 0) {
            ArraySegment<byte> room = inbox.Room();
            int part = Math.Min(count, room.Count);
            Buffer.BlockCopy(data, offset, room.Array, room.Offset, part);
            inbox.Add(part);
            offset += part;
            count -= part;
        }
    }

    /// <summary>Bytes that have to be sent, and still have to be after the session is over.</summary>
    public ArraySegment<byte> Output {
        get { lock (Gate) return handshake != null ? handshake.Output : IsSuspended ? Nothing : outbox.Output; }
    }

    /// <summary>Says that so many bytes of the output were sent.</summary>
    public void Sent(int count) {
        lock (Gate) {
            if (handshake != null) handshake.Sent(count);
            else outbox.Sent(count);
        }
    }

    /// <summary>
    /// What the agent wants, or null if nothing yet. While a turn is not answered, only Close can come, because the
    /// agent is gone.
    /// </summary>
    public Turn NextTurn() {
        lock (Gate) {
            if (isOwed && turn.Kind == TurnKind.Close) AnswerClosed();
            while (!IsOver && !IsSuspended && (handshake != null || outbox.Output.Count <= UnsentLimit)) {
                try {
                    if (inbox.Next(reader)) {
                        if (handshake != null) {
                            Shake();
                        } else if (Take()) {
                            isOwed = true;
                            return turn;
                        }
                    } else if (inbox.IsClosed) {
                        GiveUp("the peer closed the connection");
                    } else {
                        return null;
                    }
                } catch (RlayException error) {
                    Abort(error);
                }
            }
            if (!IsOver || !isCloseDue) return null;
            isCloseDue = false;
            turn.Kind = TurnKind.Close;
            turn.Reason = Error.Message;
            return turn;
        }
    }

    void Shake() {
        Welcome welcome = handshake.Take(reader);
        if (welcome == null) return;
        handshake = null;
        if (!IsAdmitted) {
            Admit(Handshake.Agree(options, welcome.MaxFrame), welcome.Ticket);
            inbox.Limit = frameLimit;
        } else if (!Resume(inbox, welcome.Received)) {
            IsSuspended = true;
            IsOvertaken = true;
        }
    }

    /// <summary>Takes a frame; whether it is a turn.</summary>
    bool Take() {
        message.Read(reader);
        if (message.Seq != Received + 1) throw Reader.Malformed("frame " + message.Seq + " after frame " + Received);
        if (message.Ack > outbox.Last || message.Re > outbox.Last) {
            throw Reader.Malformed("an answer to a frame that was never sent");
        }
        Received = message.Seq;
        peerAcked = Math.Max(peerAcked, message.Ack);
        outbox.Acknowledged = peerAcked;
        switch (message.Kind) {
            case Kind.Goodbye:
                End(new RlayException(ErrorCode.Closed, "the agent said goodbye: " + Options.Shown(message.Text)));
                return false;
            case Kind.Error:
                if (!message.IsFatal) throw Reader.Malformed("an Error of an agent that is not fatal");
                End(new RlayException(ErrorCode.Protocol, "the agent ended the session: "
                    + Options.Shown(message.Text)));
                return false;
            case Kind.Make:
                return state == State.NoEnv ? TakeMake() : Refuse(ErrorCode.Usage, "there is an environment already");
            case Kind.Reset: case Kind.Step: case Kind.Render: case Kind.Attribute: case Kind.Close:
                if (state > State.Open) return Refuse(ErrorCode.Closed, "the environment was closed");
                if (state < State.Open) return Refuse(ErrorCode.Usage, "there is no environment");
                if (message.Kind != Kind.Close && (message.Slots.Count != 1 || message.Slots[0] != 0)) {
                    return Refuse(ErrorCode.Usage, "there is slot 0 and no other");
                }
                return isOwed ? Refuse(ErrorCode.Busy, "another request is under way") : TakeRequest();
            case Kind.StepAgents: case Kind.ResultAgents:
                return Refuse(ErrorCode.Usage, "a kind of message that has no meaning yet");
            default:
                throw Reader.Malformed("a " + message.Kind + " does not come from an agent");
        }
    }

    bool TakeMake() {
        HasBegun = true;
        for (int i = 0; i < message.Make.Kwargs.Count; i++) {
            var name = message.Make.Kwargs.KeyAt(i) as string;
            if (name == null || !options.AllowedKwargs.Contains(name)) {
                return Refuse(ErrorCode.Usage, "no keyword " + Options.Shown(name ?? "that is no text")
                    + " is allowed");
            }
        }
        state = State.Making;
        turn.Make = message.Make;
        return Owe(TurnKind.Make);
    }

    bool TakeRequest() {
        switch (message.Kind) {
            case Kind.Reset:
                turn.Seed = message.Seeds[0];
                turn.Options = message.Value;
                return Owe(TurnKind.Reset);
            case Kind.Step:
                return isReady ? TakeStep() : Refuse(ErrorCode.ResetNeeded, "call reset() before step()");
            case Kind.Render:
                return renderMode != null ? Owe(TurnKind.Render)
                    : Refuse(ErrorCode.Usage, "the environment was made without a render mode");
            case Kind.Close:
                state = State.Closing;
                isCloseDue = false;
                turn.Reason = "the agent closed the environment";
                return Owe(TurnKind.Close);
            default:
                return Refuse(ErrorCode.Usage, "no attributes are offered");
        }
    }

    bool TakeStep() {
        if (message.Wrong != null) return Refuse(ErrorCode.Protocol, message.Wrong.Message);
        if (message.IsPacked) {
            try {
                spec.ActionSpace.Unpack(reader, actions);
                reader.CheckEnd();
            } catch (RlayException error) {
                // What is wrong with a payload ends the request, not the session.
                return Refuse(ErrorCode.Protocol, error.Message);
            }
        }
        turn.Action = message.IsPacked ? actions[0] : message.Values[0];
        return Owe(TurnKind.Step);
    }

    bool Owe(TurnKind kind) {
        turn.Kind = kind;
        request = message.Seq;
        return true;
    }

    bool Refuse(ErrorCode code, string text) {
        WriteError(code, false, message.Seq, "", text, "");
        return false;
    }

    internal void AnswerMake(Spec made) {
        if (made == null) throw new ArgumentNullException(nameof(made));
        lock (Gate) {
            if (!Owes(TurnKind.Make)) return;
            string mode = turn.Make.RenderMode;
            if (mode != null && !HasMode(made.Metadata, mode)) {
                throw new ArgumentException("the environment has no render mode " + mode);
            }
            Writer writer = outbox.Begin(Kind.Spec, Received, request).Str(turn.Make.EnvId ?? "");
            writer.Space(made.ObservationSpace).Space(made.ActionSpace).U32(1).U8(0).OptionalStr(mode);
            writer.Message(made.Metadata, true).Message(made.Details, true).U64(0);
            Answer(State.Open);
            spec = made;
            renderMode = mode;
            isCloseDue = true;
        }
        Answered?.Invoke();
    }

    static bool HasMode(Dict metadata, string mode) {
        var modes = metadata["render_modes"] as IEnumerable;
        if (modes == null) return false;
        foreach (object known in modes) {
            if (known as string == mode) return true;
        }
        return false;
    }

    internal void AnswerRow(TurnKind kind, StepResult result) {
        lock (Gate) {
            if (!Owes(kind)) return;
            int flags = (kind == TurnKind.Reset ? 1 : 0) | (result.Terminated ? 2 : 0) | (result.Truncated ? 4 : 0);
            Writer writer = outbox.Begin(Kind.Result, Received, request).U64(1).U32(0).U8((byte)flags);
            observations[0] = result.Observation;
            writer.F64(result.Reward).Message(result.Info ?? NoInfo, true).Payload(spec.ObservationSpace, observations);
            Answer(State.Open);
            HasPlayed = isReady = true;
        }
        Answered?.Invoke();
    }

    internal void AnswerFrame(object frame) {
        lock (Gate) {
            if (!Owes(TurnKind.Render)) return;
            outbox.Begin(Kind.Frames, Received, request).U64(1).U32(0).Message(frame, renderMode == "human");
            Answer(State.Open);
        }
        Answered?.Invoke();
    }

    internal void AnswerClosed() {
        lock (Gate) {
            if (!Owes(TurnKind.Close)) return;
            outbox.Begin(Kind.Closed, Received, request).U64(0);
            Answer(State.Closed);
        }
        Answered?.Invoke();
    }

    internal void AnswerFailure(ErrorCode code, string errorType, string text, string trace) {
        lock (Gate) {
            if (!Owes(turn.Kind)) return;
            WriteError(code, false, request, errorType, text, trace);
            if (turn.Kind == TurnKind.Make) state = State.NoEnv;
            if (turn.Kind == TurnKind.Close) state = State.Closed;
            isOwed = false;
        }
        Answered?.Invoke();
    }

    /// <summary>Whether there is a request to answer. Throws if nothing, or something else, was asked.</summary>
    bool Owes(TurnKind kind) {
        if (IsOver) return false;
        if (isOwed && turn.Kind == kind) return true;
        throw new RlayException(ErrorCode.Usage, isOwed ? "the turn is a " + turn.Kind : "there is no turn to answer");
    }

    /// <summary>Has the frame that was written sent, unless it is too long.</summary>
    void Answer(State next) {
        ulong length = (ulong)outbox.FrameLength;
        if (length > frameLimit) {
            string text = "an answer of " + length + " bytes, where " + frameLimit + " are the most";
            throw new RlayException(ErrorCode.Usage, text);
        }
        outbox.Commit();
        state = next;
        isOwed = false;
    }

    void WriteError(ErrorCode code, bool isFatal, ulong re, string errorType, string text, string trace) {
        Writer writer = outbox.Begin(Kind.Error, Received, re).U32((uint)code).Bool(isFatal).U64(0);
        writer.CutText(errorType).CutText(text).CutText(trace);
        outbox.Commit();
    }

    /// <summary>
    /// The peer broke the protocol, or has refused the dialer. Before the handshake is over it is told nothing.
    /// </summary>
    void Abort(RlayException error) {
        if (handshake == null && !IsOver) WriteError(ErrorCode.Protocol, true, 0, "", error.Message, "");
        End(error);
    }

    void End(RlayException why) {
        if (IsOver) return;
        Error = why;
        isOwed = false;
        outbox.CloseMark();
    }
}

}
