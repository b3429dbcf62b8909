// What moves the bytes of a session, and brings it another connection where one is lost.

using System;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;

namespace Rlay {

/// <summary>Moves the bytes of one session, and brings it another connection where one is lost.</summary>
internal abstract class Driver {
    /// <summary>How long a peer may take no bytes although there are some for it.</summary>
    const int StuckLimit = 60000;

    public readonly EnvSession Session;
    protected readonly Options Options;
    protected volatile Connection Connection;
    protected long LostAt;
    bool isStuck;
    long stuckSince;

    protected Driver(EnvSession session, Options options) {
        Session = session;
        Options = options;
        session.Answered = () => Flush();
    }

    /// <summary>Looks for another connection within this time; whether there is one.</summary>
    protected abstract bool Connect(int milliseconds);
    /// <summary>Ends the session, or its connection, where it is time for that.</summary>
    protected abstract void CheckTime();

    /// <summary>The next turn, or null if there is none within this time or the session is over.</summary>
    public Turn Poll(int milliseconds) {
        long deadline = Clock.After(milliseconds);
        while (true) {
            Turn turn = Session.NextTurn();
            if (turn != null) return turn;
            if (Session.IsOver) return Session.NextTurn();
            int left = Clock.Until(deadline);
            if (Connection == null) {
                bool isConnected = Connect(left);
                if (!isConnected) CheckTime();
                if (!isConnected && !Session.IsOver) return null;
                continue;
            }
            Arrival arrival = Arrival.End;
            if (Flush()) {
                // Nothing more is read of a peer that does not read: its requests would fill the memory.
                if (isStuck) Connection.WaitForRoom(left);
                arrival = isStuck ? Arrival.Nothing : Connection.Receive(left);
            }
            if (arrival == Arrival.End) {
                Drop("the connection was lost");
                continue;
            }
            if (arrival != Arrival.Nothing) continue;
            // What had arrived while the game did something else is read by now.
            CheckTime();
            if (!Session.IsOver && Clock.Until(deadline) == 0) return null;
        }
    }

    protected virtual void Drop(string why) {
        Connection.Cut();
        Connection.Close();
        Connection = null;
        LostAt = Clock.Now;
        Session.ConnectionLost(why);
    }

    /// <summary>Sends what there is to send, as far as possible; false if the connection is lost.</summary>
    bool Flush() {
        lock (Session.Gate) {
            Connection connection = Connection;
            while (connection != null && Session.Output.Count > 0) {
                int sent = connection.Send(Session.Output);
                if (sent < 0) return false;
                if (sent == 0) {
                    stuckSince = isStuck ? stuckSince : Clock.Now;
                    isStuck = true;
                    return Clock.Now - stuckSince < StuckLimit;
                }
                Session.Sent(sent);
                isStuck = false;
            }
            isStuck = false;
            return true;
        }
    }

    /// <summary>
    /// Sends what is left of a session that is over, for so many milliseconds at most, and closes the connection.
    /// </summary>
    public virtual void Finish(int milliseconds) {
        long deadline = Clock.After(milliseconds);
        Connection connection = Connection;
        if (connection == null) return;
        while (Flush() && isStuck && Clock.Until(deadline) > 0) connection.WaitForRoom(Clock.Until(deadline));
        Connection = null;
        connection.Close();
    }

    /// <summary>Throws what ended the session if to dial again does not help.</summary>
    public void ThrowIfRefused() {
        ErrorCode code = Session.Error != null ? Session.Error.Code : 0;
        if (Session.IsAdmitted || (code != ErrorCode.Unauthorized && code != ErrorCode.Incompatible)) return;
        throw Session.Error;
    }
}

/// <summary>The pauses of a dialer, from 20 ms to 1 s. The first is none.</summary>
internal sealed class Pauses {
    int next;
    long over;

    public int Left => Clock.Until(over);

    public void Begin() {
        over = Clock.After(next);
        next = Math.Min(Math.Max(20, 2 * next), 1000);
    }

    /// <summary>Begins anew, because all went well.</summary>
    public void Forget() => next = 0;
}

/// <summary>Dials, for one session. The dialing itself goes on in the background, for it blocks.</summary>
internal sealed class DialDriver : Driver {
    const int ConnectTimeout = 5000;

    readonly Address address;
    readonly Pauses pauses;
    readonly bool endsIfRefused;
    Task<Socket> dialing;
    long handshakeEnd;
    ulong receivedBefore;
    bool hasSaid;

    /// <summary>Dials for as long as nothing listens, unless a refused connection ends the session.</summary>
    public DialDriver(Address address, Options options, Pauses pauses, bool endsIfRefused)
        : base(new EnvSession(options), options) {
        this.address = address;
        this.pauses = pauses;
        this.endsIfRefused = endsIfRefused;
        pauses.Begin();
    }

    protected override bool Connect(int milliseconds) {
        long deadline = Clock.After(milliseconds);
        if (dialing == null) {
            Thread.Sleep(Math.Min(pauses.Left, milliseconds));
            if (pauses.Left > 0) return false;
            dialing = Task.Run((Func<Socket>)Dial);
        }
        Task<Socket> dialed = dialing;
        try {
            if (!dialed.Wait(Clock.Until(deadline))) return false;
            dialing = null;
            Connection = new Connection(dialed.Result);
        } catch (Exception error) {
            dialing = null;
            Failed((error as AggregateException)?.InnerException ?? error);
            return false;
        }
        receivedBefore = Session.Received;
        handshakeEnd = Clock.After(Handshake.Timeout);
        Session.Connected(Connection.Inbox);
        return true;
    }

    Socket Dial() {
        Exception last = new SocketException((int)SocketError.HostNotFound);
        foreach (IPAddress number in address.Resolve()) {
            var socket = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try {
                IAsyncResult connecting = socket.BeginConnect(number, address.Port, null, null);
                if (!connecting.AsyncWaitHandle.WaitOne(ConnectTimeout)) {
                    throw new SocketException((int)SocketError.TimedOut);
                }
                socket.EndConnect(connecting);
                if (socket.LocalEndPoint.Equals(socket.RemoteEndPoint)) {
                    // A kernel may connect a socket to itself, where nothing listens at the port yet.
                    socket.LingerState = new LingerOption(true, 0);
                    throw new SocketException((int)SocketError.ConnectionRefused);
                }
                return socket;
            } catch (Exception error) {
                socket.Close();
                last = error;
            }
        }
        throw last;
    }

    void Failed(Exception error) {
        pauses.Begin();
        bool isRefused = (error as SocketException)?.SocketErrorCode == SocketError.ConnectionRefused;
        if (isRefused && (Session.IsAdmitted ? Options.ReconnectTimeout == null : endsIfRefused)) {
            Session.GiveUp("nothing listens at " + address.Text + " any more");
        } else if (!hasSaid) {
            hasSaid = true;
            Options.Say("no agent at " + address.Text + " yet (" + error.Message + "); dialing on");
        }
    }

    protected override void Drop(string why) {
        base.Drop(why);
        if (Session.Received > receivedBefore) pauses.Forget();
        pauses.Begin();
    }

    protected override void CheckTime() {
        if (Connection != null && Session.IsShaking && Clock.Until(handshakeEnd) == 0) {
            Drop("the listener did not answer the handshake within 5 s");
        }
        if (Connection != null && Session.IsOvertaken) Drop("a later connection has overtaken this one");
        if (Connection == null && Session.IsAdmitted && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
            Session.GiveUp("the connection was lost and could not be made again in time");
        }
    }

    public override void Finish(int milliseconds) {
        base.Finish(milliseconds);
        if (Session.HasPlayed) pauses.Forget();
        if (!Session.IsAdmitted && Session.Error != null && Session.Error.Code != ErrorCode.Closed) {
            Options.SaySeldom("no agent at " + address.Text + ": " + Session.Error.Message);
        }
        // Its failure is looked at, so that the runtime does not report it as unobserved.
        dialing?.ContinueWith(late => {
            if (late.Exception == null) late.Result.Close();
        });
    }
}

/// <summary>
/// A session that a listener has admitted. The listener brings it the connections of a dialer that comes back.
/// </summary>
internal sealed class ListenDriver : Driver {
    readonly Acceptor acceptor;
    readonly long admittedAt = Clock.Now;
    Connection offered;
    ulong offeredReceived;
    int attempts;
    RlayException ending;
    /// <summary>Whether the session ends only if the agent still asks for nothing once all is read.</summary>
    bool endsIfIdle;

    public readonly byte[] Ticket;

    public ListenDriver(Acceptor acceptor, Options options, ulong frameLimit, byte[] ticket, Connection connection)
        : base(new EnvSession(options, frameLimit, ticket), options) {
        this.acceptor = acceptor;
        Ticket = ticket;
        Session.Resume(connection.Inbox, 0);
        Connection = connection;
    }

    /// <summary>Since when the session has had no connection; else null.</summary>
    public long? LostSince => Connection == null ? LostAt : (long?)null;
    /// <summary>Whether the agent has had the time of a handshake to ask for an environment, and has not.</summary>
    public bool IsIdle => !Session.HasBegun && Clock.Now - admittedAt > Handshake.Timeout;

    /// <summary>Has the session's own thread end it.</summary>
    public void EndSoon(RlayException why) {
        lock (Session.Gate) {
            ending = why;
            endsIfIdle = IsIdle;
            Monitor.PulseAll(Session.Gate);
        }
    }

    /// <summary>
    /// Gives up the old connection for another one. Returns the number of the attempt, or 0 if the session is over,
    /// and how many frames have arrived.
    /// </summary>
    public int BeginTakeover(out ulong received) {
        lock (Session.Gate) {
            received = Session.Suspend();
            if (Session.IsOver || ending != null) return 0;
            Connection?.Cut();
            return ++attempts;
        }
    }

    /// <summary>Offers the connection of an attempt; it is closed if there was a later attempt.</summary>
    public void Offer(int attempt, Connection connection, ulong peerReceived) {
        lock (Session.Gate) {
            Connection useless = attempt == attempts && !Session.IsOver ? offered : connection;
            useless?.Close();
            if (useless == connection) return;
            offered = connection;
            offeredReceived = peerReceived;
            Monitor.PulseAll(Session.Gate);
        }
    }

    protected override bool Connect(int milliseconds) {
        lock (Session.Gate) {
            if (offered == null && ending == null && milliseconds > 0) Monitor.Wait(Session.Gate, milliseconds);
            Connection next = offered;
            offered = null;
            if (next == null) return false;
            if (Session.Resume(next.Inbox, offeredReceived)) Connection = next;
            else next.Close();
            return Connection != null;
        }
    }

    protected override void CheckTime() {
        lock (Session.Gate) {
            if (endsIfIdle && Session.HasBegun) ending = null;
            if (ending != null) Session.Goodbye(ending.Code, ending.Message);
            if (Connection == null && offered == null && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
                Session.GiveUp("the connection was lost, and the agent did not come back in time");
            }
        }
    }

    public override void Finish(int milliseconds) {
        base.Finish(milliseconds);
        lock (Session.Gate) {
            Session.GiveUp("the session is over");
            offered?.Close();
            offered = null;
        }
        acceptor.Release(this);
    }
}

}
