// What hosts environments on threads: one that dials agents, and one that listens for them.

using System;
using System.Collections.Generic;
using System.Threading;

namespace Rlay {

/// <summary>What both backends have in common: the function that makes environments, and running.</summary>
public abstract class Backend {
    readonly Func<Make, Env> make;
    readonly List<Thread> threads = new List<Thread>();
    internal readonly Options Options;
    internal volatile bool IsClosing;

    internal Backend(Func<Make, Env> make, Options options) {
        this.make = make ?? throw new ArgumentNullException(nameof(make));
        Options = Options.Checked(options);
    }

    /// <summary>The address, with the port that it has.</summary>
    public abstract string Address { get; }
    /// <summary>Serves until Close is called from another thread.</summary>
    public abstract void Run();

    /// <summary>Serves on a thread of its own, which does not keep the program alive.</summary>
    public void Start() => StartThread(Run);

    /// <summary>
    /// Says goodbye to the agents and closes the environments; returns within two seconds, though an environment may
    /// still be in the middle of a step. May be called twice.
    /// </summary>
    public virtual void Close() {
        IsClosing = true;
        long deadline = Clock.After(2000);
        Thread[] running;
        lock (threads) running = threads.ToArray();
        foreach (Thread thread in running) {
            if (thread != Thread.CurrentThread) thread.Join(Clock.Until(deadline));
        }
    }

    internal Thread StartThread(ThreadStart run) {
        ThreadStart guarded = () => {
            try {
                run();
            } catch (Exception error) {
                // What leaves a thread ends the program.
                Options.Say(error.Message);
            }
        };
        var thread = new Thread(guarded) { IsBackground = true, Name = "rlay" };
        lock (threads) {
            threads.RemoveAll(old => !old.IsAlive);
            thread.Start();
            threads.Add(thread);
        }
        return thread;
    }

    /// <summary>
    /// Plays one session on this thread. Calls <paramref name="begun"/> once an agent has asked for something.
    /// </summary>
    internal void Play(Driver driver, Action begun) {
        EnvSession session = driver.Session;
        Env env = null;
        try {
            while (!session.IsOver) {
                if (IsClosing) session.Goodbye();
                Turn turn = driver.Poll(100);
                if (turn == null) continue;
                begun?.Invoke();
                begun = null;
                try {
                    Answer(turn, ref env);
                } catch (Exception error) {
                    turn.Fail(error);
                }
            }
            if (session.HasBegun) Options.Say("session over: " + session.Error.Message);
        } finally {
            driver.Finish(200);
            CloseQuietly(env);
        }
    }

    void Answer(Turn turn, ref Env env) {
        switch (turn.Kind) {
            case TurnKind.Make:
                Env made = make(turn.Make);
                if (made == null) throw new InvalidOperationException("the function that makes environments gave null");
                try {
                    turn.Reply(new Spec(made));
                } catch {
                    CloseQuietly(made);
                    throw;
                }
                env = made;
                break;
            case TurnKind.Reset:
                turn.Reply(env.Reset(turn.Seed, turn.Options));
                break;
            case TurnKind.Step:
                turn.Reply(env.Step(turn.Action));
                break;
            case TurnKind.Render:
                turn.ReplyFrame(env.Render());
                break;
            case TurnKind.Close:
                Env closed = env;
                env = null;
                closed?.Close();
                turn.ReplyClosed();
                break;
        }
    }

    void CloseQuietly(Env env) {
        try {
            env?.Close();
        } catch (Exception error) {
            Options.Say("the environment could not be closed: " + error.Message);
        }
    }
}

/// <summary>
/// Hosts environments by dialing agents that listen (ServerEnv, ServerVectorEnv), as a game does that a person
/// starts. It dials again after each session. One session waits for an agent at any time; as soon as it is taken a
/// spare one dials, up to Options.MaxSessions. Each environment is made, stepped and closed on one thread.
/// </summary>
public sealed class ClientBackend : Backend {
    readonly Address address;
    readonly bool isLaunched;
    readonly SemaphoreSlim spare = new SemaphoreSlim(1);
    volatile bool hasDialed;
    /// <summary>Whether to dial again does not help; sessions that play go on.</summary>
    volatile bool dialsNoMore;
    volatile RlayException refusal;

    /// <summary>Will dial the address; <paramref name="make"/> makes each environment.</summary>
    public ClientBackend(Func<Make, Env> make, string address, Options options = null) : base(make, options) {
        this.address = new Address(address, false);
        isLaunched = address == Rlay.Options.LaunchedAddress;
    }

    /// <inheritdoc/>
    public override string Address => address.Text;

    /// <summary>
    /// Serves until Close, or until the agent that has launched this program is gone. If the listener refuses this end
    /// for good, as over a wrong token, it throws once no session plays.
    /// </summary>
    public override void Run() {
        var others = new List<Thread>();
        for (int i = 1; i < Options.MaxSessions; i++) others.Add(StartThread(PlayOn));
        PlayOn();
        if (dialsNoMore) others.ForEach(thread => thread.Join());
        if (refusal != null) throw refusal;
    }

    void PlayOn() {
        var pauses = new Pauses();
        while (!IsClosing && !dialsNoMore) {
            if (!spare.Wait(100)) continue;
            bool isSpare = true;
            Action begun = () => {
                isSpare = false;
                spare.Release();
            };
            try {
                bool endsIfRefused = isLaunched && hasDialed;
                var driver = new DialDriver(address, Options, pauses, endsIfRefused);
                Play(driver, begun);
                driver.ThrowIfRefused();
                if (driver.Session.IsAdmitted) hasDialed = true;
                else if (endsIfRefused) dialsNoMore = true;
            } catch (RlayException error) {
                refusal = error;
                dialsNoMore = true;
            } finally {
                if (isSpare) spare.Release();
            }
        }
    }
}

/// <summary>
/// Hosts environments by listening for agents that dial (ClientEnv), as a simulator on a server does. Each session has
/// a thread, on which its environment is made, stepped and closed; agents beyond Options.MaxSessions are told that
/// there is no room.
/// </summary>
public sealed class ServerBackend : Backend {
    readonly Acceptor acceptor;
    readonly ManualResetEventSlim closed = new ManualResetEventSlim();

    /// <summary>
    /// Listens at the address, port 0 being any that is free; agents are admitted at once. <paramref name="make"/>
    /// makes each environment.
    /// </summary>
    public ServerBackend(Func<Make, Env> make, string address, Options options = null) : base(make, options) {
        Action<Driver> play = driver => StartThread(() => Play(driver, null));
        acceptor = new Acceptor(new Address(address, true), Options, Options.MaxSessions, play);
    }

    /// <inheritdoc/>
    public override string Address => acceptor.Address;

    /// <inheritdoc/>
    public override void Run() => closed.Wait();

    /// <inheritdoc/>
    public override void Close() {
        acceptor.Close();
        closed.Set();
        base.Close();
    }
}

}
