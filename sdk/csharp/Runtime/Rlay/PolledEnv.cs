// The poll form: an environment in the loop of an engine.

using System;
using System.Collections.Generic;

namespace Rlay {

/// <summary>
/// Hosts one environment in the loop of an engine, which must never block: call Poll once a frame.
/// <code>
/// var host = PolledEnv.Dial(spec, "tcp://127.0.0.1:5005", new Options());
/// Turn turn = host.Poll();                                                   // each frame
/// if (turn != null &amp;&amp; turn.Kind == TurnKind.Step) turn.Reply(Play(turn.Action));
/// </code>
/// One agent after another is served, whatever Options.MaxSessions says. All methods are for one thread.
/// </summary>
public sealed class PolledEnv {
    /// <summary>How long a poll waits for a handshake, in milliseconds, where the one before was longer ago.</summary>
    const int GreetingTime = 100;

    readonly Spec spec;
    readonly Options options;
    readonly Address address;
    readonly Acceptor acceptor;
    readonly Queue<Driver> admitted = new Queue<Driver>();
    readonly Pauses pauses = new Pauses();
    Driver driver;
    long polledAt = Clock.Now;
    bool isClosed;

    PolledEnv(Spec spec, string address, Options options, bool listens) {
        this.spec = spec ?? throw new ArgumentNullException(nameof(spec));
        this.options = Options.Checked(options);
        this.address = new Address(address, listens);
        if (listens) acceptor = new Acceptor(this.address, this.options, 1, Enqueue);
    }

    /// <summary>
    /// Dials an agent that listens (ServerEnv) for as long as there is none, and again after each session.
    /// </summary>
    public static PolledEnv Dial(Spec spec, string address, Options options) =>
        new PolledEnv(spec, address, options, false);

    /// <summary>Listens for agents that dial (ClientEnv); port 0 takes any that is free.</summary>
    public static PolledEnv Listen(Spec spec, string address, Options options) =>
        new PolledEnv(spec, address, options, true);

    /// <summary>The address, with the port that it has.</summary>
    public string Address => acceptor != null ? acceptor.Address : address.Text;
    /// <summary>Whether an agent has asked for the environment and has not left.</summary>
    public bool IsPlaying => driver != null && driver.Session.HasBegun && !driver.Session.IsOver;

    /// <summary>
    /// What the agent wants, or null: Reset, Step, Render or Close. It waits so many milliseconds for an agent that
    /// is playing; 0 never blocks, but for a tenth of a second while hands are shaken in a game that polls less often
    /// than that. Answer a turn before you ask for the next one: until then only Close can come, because the agent is
    /// gone. Throws if the listener has refused this end for good, as over a wrong token; a later call dials again.
    /// </summary>
    public Turn Poll(int waitMilliseconds = 0) {
        // Where the game polls seldom, the other end would not wait for a handshake of one message a poll.
        long greeted = Clock.After(Clock.Now - polledAt > GreetingTime ? GreetingTime : 0);
        polledAt = Clock.Now;
        long deadline = Clock.After(waitMilliseconds);
        while (!isClosed && (driver = driver ?? Next()) != null) {
            Turn turn = driver.Poll(Left(deadline, greeted));
            if (turn != null && turn.Kind != TurnKind.Make) return turn;
            if (turn != null) {
                AnswerMake(turn);
            } else if (driver.Session.IsOver) {
                Driver ended = driver;
                driver = null;
                ended.Finish(0);
                ended.ThrowIfRefused();
                return null;
            } else if (Left(deadline, greeted) == 0) {
                return null;
            }
        }
        return null;
    }

    /// <summary>Ends the session with a goodbye, and takes no others.</summary>
    public void Close() {
        lock (admitted) isClosed = true;
        acceptor?.Close();
        while ((driver = driver ?? Next()) != null) {
            driver.Session.Goodbye();
            driver.Finish(200);
            driver = null;
        }
    }

    int Left(long deadline, long greeted) =>
        IsPlaying ? Clock.Until(deadline) : driver.Session.IsShaking ? Clock.Until(greeted) : 0;

    void AnswerMake(Turn turn) {
        try {
            turn.Reply(spec);
        } catch (Exception error) {
            turn.Fail(error);
        }
    }

    void Enqueue(Driver next) {
        lock (admitted) {
            if (!isClosed) {
                admitted.Enqueue(next);
                return;
            }
        }
        next.Session.Goodbye();
        next.Finish(200);
    }

    Driver Next() {
        if (acceptor == null) return isClosed ? null : new DialDriver(address, options, pauses, false);
        lock (admitted) return admitted.Count > 0 ? admitted.Dequeue() : null;
    }
}

}
