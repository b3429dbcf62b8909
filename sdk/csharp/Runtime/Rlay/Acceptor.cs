// What listens, and lets dialers into new sessions or back into theirs.

using System;
using System.Collections.Generic;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Rlay {

/// <summary>Listens: shakes hands with dialers, and lets them into new sessions or back into theirs.</summary>
internal sealed class Acceptor {
    const int HandshakesAtOnce = 64;

    readonly Options options;
    readonly int maxSessions;
    readonly Action<Driver> admitted;
    readonly Socket listener;
    readonly List<ListenDriver> sessions = new List<ListenDriver>();
    /// <summary>The sockets whose handshakes are under way, the oldest first.</summary>
    readonly List<Socket> handshakes = new List<Socket>();
    volatile bool isClosed;

    public Acceptor(Address address, Options options, int maxSessions, Action<Driver> admitted) {
        this.options = options;
        this.maxSessions = maxSessions;
        this.admitted = admitted;
        try {
            IPAddress number = address.Resolve()[0];
            if (options.Token == null && !address.AllowsRemote && !IPAddress.IsLoopback(number)) {
                throw address.Bad("other machines can dial it, and there is no token; listen at 127.0.0.1, "
                    + "set Options.Token (the same at both ends), or append ?insecure_allow_remote=yes");
            }
            listener = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            listener.Bind(new IPEndPoint(number, address.Port));
            listener.Listen(512);
        } catch (SocketException error) {
            listener?.Close();
            bool isTaken = error.SocketErrorCode == SocketError.AddressAlreadyInUse;
            throw new RlayException(isTaken ? ErrorCode.AddressInUse : ErrorCode.Address,
                "cannot listen at " + address.Text + ": " + error.Message);
        }
        Address = "tcp://" + address.Host + ":" + ((IPEndPoint)listener.LocalEndPoint).Port;
        new Thread(Accept) { IsBackground = true, Name = "rlay-accept" }.Start();
    }

    public string Address { get; }

    public void Close() {
        isClosed = true;
        listener.Close();
        lock (handshakes) handshakes.ForEach(Cut);
    }

    public void Release(ListenDriver session) {
        lock (sessions) sessions.Remove(session);
    }

    void Accept() {
        while (!isClosed) {
            Socket socket = null;
            try {
                socket = listener.Accept();
                BeginHandshake(socket);
                new Thread(() => Shake(socket)) { IsBackground = true, Name = "rlay-handshake" }.Start();
            } catch (Exception) {
                // Closed; or out of descriptors or threads, which other sessions may soon free.
                if (socket != null) EndHandshake(socket);
                socket?.Close();
                Thread.Sleep(50);
            }
        }
    }

    /// <summary>Makes room for a handshake, if it must by ending the oldest: an honest one takes milliseconds.</summary>
    void BeginHandshake(Socket socket) {
        lock (handshakes) {
            handshakes.Add(socket);
            if (handshakes.Count <= HandshakesAtOnce) return;
            Cut(handshakes[0]);
            handshakes.RemoveAt(0);
        }
    }

    static void Cut(Socket socket) {
        try {
            socket.Shutdown(SocketShutdown.Both);
        } catch (Exception) {
            // It has ended by itself.
        }
    }

    void EndHandshake(Socket socket) {
        lock (handshakes) handshakes.Remove(socket);
    }

    void Shake(Socket socket) {
        Connection connection = null;
        bool isLetIn = false;
        try {
            connection = new Connection(socket);
            var handshake = new ListenerHandshake(options, connection);
            handshake.Run();
            isLetIn = handshake.Hello.IsResuming ? Readmit(handshake) : Admit(handshake);
        } catch (Exception error) {
            options.SaySeldom("a dialer was not let in: " + error.Message);
        }
        EndHandshake(socket);
        if (!isLetIn) connection?.Close();
    }

    bool Readmit(ListenerHandshake handshake) {
        byte[] ticket = handshake.Hello.Ticket;
        ListenDriver session;
        lock (sessions) session = sessions.Find(one => one.Ticket != null && Handshake.AreEqual(one.Ticket, ticket));
        ulong received = 0;
        int attempt = session == null ? 0 : session.BeginTakeover(out received);
        if (attempt == 0) throw handshake.Refuse(ErrorCode.ConnectionLost, "the session has ended; open a new one");
        handshake.Welcome(null, received);
        session.Offer(attempt, handshake.Connection, handshake.Hello.Received);
        return true;
    }

    bool Admit(ListenerHandshake handshake) {
        ListenDriver session = null;
        bool canResume = (handshake.Hello.Features & Handshake.Resumable) != 0;
        lock (sessions) {
            if (!isClosed && sessions.Count < maxSessions) {
                ulong limit = Handshake.Agree(options, handshake.Hello.MaxFrame);
                byte[] ticket = canResume ? Handshake.Random() : null;
                session = new ListenDriver(this, options, limit, ticket, handshake.Connection);
                sessions.Add(session);
            } else {
                MakeRoom();
            }
        }
        if (session == null) {
            throw handshake.Refuse(ErrorCode.Busy, "all " + maxSessions + " sessions of this host are taken");
        }
        try {
            handshake.Welcome(session.Ticket, 0);
        } catch {
            Release(session);
            throw;
        }
        admitted(session);
        return true;
    }

    /// <summary>
    /// Has the session end whose dialer is away the longest, or one that never began, for the next dialer.
    /// </summary>
    void MakeRoom() {
        ListenDriver longest = null;
        foreach (ListenDriver session in sessions) {
            if (session.LostSince < (longest?.LostSince ?? long.MaxValue)) longest = session;
        }
        longest = longest ?? sessions.Find(session => session.IsIdle);
        longest?.EndSoon(new RlayException(ErrorCode.Busy, "another agent needs the session"));
    }
}

}
