// A socket that never blocks, and the clock that bounds its waits.

using System;
using System.Diagnostics;
using System.Net.Sockets;
using System.Threading.Tasks;

namespace Rlay {

/// <summary>A clock in milliseconds that is never set.</summary>
internal static class Clock {
    public static long Now => (long)(Stopwatch.GetTimestamp() * (1000.0 / Stopwatch.Frequency));

    public static long After(long milliseconds) => Now + milliseconds;

    /// <summary>How long until then, at least 0.</summary>
    public static int Until(long then) => (int)Math.Min(Math.Max(then - Now, 0), int.MaxValue);
}

internal enum Arrival { Nothing, Bytes, End }

/// <summary>A socket that never blocks, and the frames that have arrived.</summary>
internal sealed class Connection {
    readonly Socket socket;
    readonly ArraySegment<byte>[] outgoing = new ArraySegment<byte>[1];
    public readonly FrameReader Inbox = new FrameReader();

    public Connection(Socket socket) {
        this.socket = socket;
        socket.NoDelay = true;
        socket.Blocking = false;
        try {
            // So that the system finds out within a minute that the other machine is gone: after 10 s, every 2 s.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            byte[] times = { 1, 0, 0, 0, 0x10, 0x27, 0, 0, 0xd0, 7, 0, 0 };
            socket.IOControl(IOControlCode.KeepAliveValues, times, null);
        } catch (Exception) {
            // Some systems have their own times alone.
        }
    }

    /// <summary>Sends what can be sent at once; how many bytes, or -1 if the connection is lost.</summary>
    public int Send(ArraySegment<byte> bytes) {
        try {
            // Given an array, Mono tries again and again until all is sent, although the socket does not block.
            outgoing[0] = bytes;
            int sent = socket.Send(outgoing, SocketFlags.None, out SocketError error);
            return error == SocketError.Success ? sent : error == SocketError.WouldBlock ? 0 : -1;
        } catch (Exception) {
            return -1;
        }
    }

    /// <summary>Waits until more can be sent.</summary>
    public void WaitForRoom(int milliseconds) {
        try {
            socket.Poll(Math.Min(milliseconds, 1000000) * 1000, SelectMode.SelectWrite);
        } catch (Exception) {
            // To send tells what is wrong.
        }
    }

    /// <summary>Waits for bytes.</summary>
    public Arrival Receive(int milliseconds) {
        try {
            if (!socket.Poll(Math.Min(milliseconds, 1000000) * 1000, SelectMode.SelectRead)) return Arrival.Nothing;
            ArraySegment<byte> room = Inbox.Room();
            int count = socket.Receive(room.Array, room.Offset, room.Count, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) return Arrival.Nothing;
            if (error != SocketError.Success || count == 0) return Arrival.End;
            Inbox.Add(count);
            return Arrival.Bytes;
        } catch (Exception) {
            return Arrival.End;
        }
    }

    /// <summary>Ends both directions at once, which wakes a thread that waits for bytes.</summary>
    public void Cut() {
        try {
            socket.Shutdown(SocketShutdown.Both);
        } catch (Exception) {
            // It has ended by itself.
        }
    }

    /// <summary>
    /// Closes it once the peer has, or after 1 s: to close it with bytes unread would reset the connection.
    /// </summary>
    public void Close() => Task.Run(() => {
        try {
            socket.Shutdown(SocketShutdown.Send);
            long deadline = Clock.After(1000);
            var rest = new byte[4096];
            int left;
            while ((left = Clock.Until(deadline)) > 0 && socket.Poll(left * 1000, SelectMode.SelectRead)
                && socket.Receive(rest, 0, rest.Length, SocketFlags.None, out SocketError _) > 0) { }
        } catch (Exception) {
            // It has ended by itself.
        }
        socket.Close();
    });
}

}
