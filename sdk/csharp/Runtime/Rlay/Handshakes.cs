// Both sides of the handshake: docs/wire.md, section 9.

using System;
using System.Security.Cryptography;
using System.Text;

namespace Rlay {

internal static class Handshake {
    public const int FrameLimit = 65536;
    public const int Timeout = 5000;
    public const uint Magic = 0x59414c52;
    public const ulong Resumable = 1, Resuming = 2;
    public const ushort Wire = 0;
    public const byte EnvRole = 1;
    public const string Peer = "rlay-csharp 0.1.0";

    /// <summary>
    /// The frame limit of a session: the smaller of both sides', but not below that of the handshake.
    /// </summary>
    public static ulong Agree(Options options, ulong theirs) =>
        Math.Max(Math.Min((ulong)options.MaxFrame, theirs), FrameLimit);

    public static byte[] Random() {
        var bytes = new byte[32];
        using (var random = RandomNumberGenerator.Create()) random.GetBytes(bytes);
        return bytes;
    }

    /// <summary>What one side sends to prove that it knows the token.</summary>
    public static byte[] Prove(string token, string role, byte[] hello, byte[] challenge) {
        Writer secret = new Writer().Str(token);
        Writer said = new Writer().Raw(Encoding.ASCII.GetBytes(role)).Raw(hello).Raw(challenge);
        using (var hash = SHA256.Create())
        using (var hmac = new HMACSHA256(hash.ComputeHash(secret.Buffer, 0, secret.Length))) {
            return hmac.ComputeHash(said.Buffer, 0, said.Length);
        }
    }

    /// <summary>Compares secrets in a time that does not tell where they differ.</summary>
    public static bool AreEqual(byte[] a, byte[] b) {
        int different = a.Length ^ b.Length;
        for (int i = 0; i < a.Length && i < b.Length; i++) different |= a[i] ^ b[i];
        return different == 0;
    }

    public static Writer Begin(Kind kind) => new Writer().BeginFrame(kind, 0, 0, 0);

    /// <summary>Reads the header of a frame, which has no numbers in the handshake.</summary>
    public static Kind ReadHeader(Reader reader) {
        Kind kind = reader.Header(out ulong seq, out ulong ack, out ulong re);
        if ((seq | ack | re) != 0) throw Reader.Malformed("a frame with numbers in the handshake");
        return kind;
    }
}

internal sealed class Hello {
    public ushort WireMin = Handshake.Wire, WireMax = Handshake.Wire;
    public byte Role = Handshake.EnvRole, Auth;
    public ulong Features, MaxFrame, Received;
    public string Peer = Handshake.Peer;
    public byte[] Nonce, Ticket;

    public bool IsResuming => (Features & Handshake.Resuming) != 0;

    /// <summary>Reads what has the same form in every wire number.</summary>
    public void ReadStart(Reader reader) {
        if (reader.U32() != Handshake.Magic) throw Reader.Malformed("the peer is no RLay endpoint");
        WireMin = reader.U16();
        WireMax = reader.U16();
        Role = reader.U8();
        Auth = reader.U8();
    }

    public void ReadRest(Reader reader) {
        if (Role > 1) throw Reader.Malformed("an unknown role");
        Features = reader.U64();
        MaxFrame = reader.U64();
        Peer = reader.Str(256);
        Nonce = Auth == 1 ? reader.Take(32) : null;
        Ticket = IsResuming ? reader.Take(32) : null;
        Received = IsResuming ? reader.U64() : 0;
        reader.CheckEnd();
    }

    public void Write(Writer writer) {
        writer.U32(Handshake.Magic).U16(WireMin).U16(WireMax).U8(Role).U8(Auth).U64(Features).U64(MaxFrame).Str(Peer);
        if (Auth == 1) writer.Raw(Nonce);
        if (IsResuming) writer.Raw(Ticket).U64(Received);
    }
}

internal sealed class Welcome {
    public ushort Wire = Handshake.Wire;
    public ulong Features, MaxFrame, Received;
    public string Peer = Handshake.Peer;
    public byte[] Proof, Ticket;

    public bool IsResuming => (Features & Handshake.Resuming) != 0;

    public void Read(Reader reader) {
        Wire = reader.U16();
        Features = reader.U64();
        MaxFrame = reader.U64();
        Peer = reader.Str(256);
        Proof = reader.Bool() ? reader.Take(32) : null;
        Ticket = (Features & Handshake.Resumable) != 0 ? reader.Take(32) : null;
        Received = IsResuming ? reader.U64() : 0;
        reader.CheckEnd();
    }

    public void Write(Writer writer) {
        writer.U16(Wire).U64(Features).U64(MaxFrame).Str(Peer).Bool(Proof != null);
        if (Proof != null) writer.Raw(Proof);
        if (Ticket != null) writer.Raw(Ticket);
        if (IsResuming) writer.U64(Received);
    }
}

/// <summary>The handshake of a dialer over one connection.</summary>
internal sealed class DialerHandshake {
    readonly string token;
    readonly bool isResuming;
    readonly byte[] hello;
    Writer output;
    int sent;
    byte[] challenge;

    public DialerHandshake(Options options, byte[] ticket, ulong received) {
        token = options.Token;
        isResuming = ticket != null;
        output = Handshake.Begin(Kind.Hello);
        new Hello {
            Auth = (byte)(token != null ? 1 : 0),
            Features = isResuming ? Handshake.Resuming : Handshake.Resumable,
            MaxFrame = (ulong)options.MaxFrame,
            Nonce = token != null ? Handshake.Random() : null,
            Ticket = ticket,
            Received = received,
        }.Write(output);
        hello = output.EndFrame().Frame();
    }

    public ArraySegment<byte> Output => new ArraySegment<byte>(output.Buffer, sent, output.Length - sent);

    public void Sent(int count) => sent += count;

    /// <summary>
    /// Takes a frame of the listener; null as long as it is not the Welcome. Throws if the listener refuses.
    /// </summary>
    public Welcome Take(Reader reader) {
        Kind kind = Handshake.ReadHeader(reader);
        if (kind == Kind.Reject) {
            var code = (ErrorCode)reader.U32();
            string wires = " (it speaks wire numbers " + reader.U16() + " to " + reader.U16() + ")";
            bool isSent = code == ErrorCode.Busy || code == ErrorCode.Incompatible || code == ErrorCode.Unauthorized
                || (code == ErrorCode.ConnectionLost && isResuming);
            throw new RlayException(isSent ? code : ErrorCode.Protocol, "the listener refused the connection: " + Options.Shown(reader.Str())
                + (code == ErrorCode.Incompatible ? wires : ""));
        }
        if (kind == Kind.Challenge && token != null && challenge == null) {
            reader.Skip(32);
            reader.CheckEnd();
            challenge = reader.Frame();
            byte[] proof = Handshake.Prove(token, "rlay dialer", hello, challenge);
            output = Handshake.Begin(Kind.Proof).Raw(proof).EndFrame();
            sent = 0;
            return null;
        }
        if (kind != Kind.Welcome) throw Reader.Malformed("a " + kind + " in place of a Welcome");
        var welcome = new Welcome();
        welcome.Read(reader);
        bool isProven = token == null || (challenge != null && welcome.Proof != null
            && Handshake.AreEqual(welcome.Proof, Handshake.Prove(token, "rlay listener", hello, challenge)));
        if (!isProven) throw new RlayException(ErrorCode.Unauthorized, "the listener does not know the token");
        bool fits = welcome.IsResuming == isResuming && !(isResuming && welcome.Ticket != null);
        if (welcome.Wire != Handshake.Wire || !fits) {
            throw Reader.Malformed("a Welcome that does not fit the Hello");
        }
        return welcome;
    }
}

/// <summary>The handshake of a listener over one connection. It blocks, for 5 seconds at most.</summary>
internal sealed class ListenerHandshake {
    readonly Options options;
    readonly Reader reader = new Reader();
    readonly long deadline = Clock.After(Handshake.Timeout);
    byte[] helloFrame, challengeFrame;

    public readonly Connection Connection;
    public readonly Hello Hello = new Hello();

    public ListenerHandshake(Options options, Connection connection) {
        this.options = options;
        Connection = connection;
    }

    /// <summary>
    /// Takes the dialer's Hello and, where there is a token, its Proof. Throws where it cannot be let in, and has told
    /// it so.
    /// </summary>
    public void Run() {
        ReadFrame(Kind.Hello);
        helloFrame = reader.Frame();
        Hello.ReadStart(reader);
        if (Hello.WireMin > Handshake.Wire || Hello.WireMax < Handshake.Wire) {
            throw Refuse(ErrorCode.Incompatible, "this end speaks wire number " + Handshake.Wire + " alone");
        }
        if (Hello.Role == Handshake.EnvRole) {
            throw Refuse(ErrorCode.Incompatible, "both ends host environments; an agent dials this one");
        }
        if (Hello.Auth > 1) throw Refuse(ErrorCode.Incompatible, "an unknown kind of authentication");
        Hello.ReadRest(reader);
        bool asks = options.Token != null;
        if (Hello.Auth == 1 != asks) {
            throw Refuse(ErrorCode.Unauthorized, asks ? "this host asks for a token" : "this host has no token");
        }
        if (!asks) return;
        Writer challenge = Handshake.Begin(Kind.Challenge).Raw(Handshake.Random()).EndFrame();
        challengeFrame = challenge.Frame();
        Send(challenge);
        ReadFrame(Kind.Proof);
        byte[] proof = reader.Take(32);
        reader.CheckEnd();
        if (!Handshake.AreEqual(proof, Handshake.Prove(options.Token, "rlay dialer", helloFrame, challengeFrame))) {
            throw Refuse(ErrorCode.Unauthorized, "the token is wrong");
        }
    }

    /// <summary>Lets the dialer in: with the ticket of a new session, or back into its own.</summary>
    public void Welcome(byte[] ticket, ulong received) {
        Writer writer = Handshake.Begin(Kind.Welcome);
        new Welcome {
            Features = Hello.IsResuming ? Handshake.Resuming : ticket != null ? Handshake.Resumable : 0,
            MaxFrame = (ulong)options.MaxFrame,
            Proof = challengeFrame == null ? null
                : Handshake.Prove(options.Token, "rlay listener", helloFrame, challengeFrame),
            Ticket = ticket,
            Received = received,
        }.Write(writer);
        Send(writer.EndFrame());
    }

    /// <summary>Tells the dialer why it is not let in; the result is to be thrown.</summary>
    public RlayException Refuse(ErrorCode code, string text) {
        Writer writer = Handshake.Begin(Kind.Reject).U32((uint)code).U16(Handshake.Wire).U16(Handshake.Wire).Str(text);
        Send(writer.EndFrame().U32(uint.MaxValue));
        return new RlayException(code, text);
    }

    void ReadFrame(Kind wanted) {
        while (!Connection.Inbox.Next(reader)) {
            int left = Clock.Until(deadline);
            if (left == 0) throw new RlayException(ErrorCode.Timeout, "no handshake within 5 s");
            if (Connection.Inbox.IsClosed || Connection.Receive(left) == Arrival.End) throw Left();
        }
        if (Handshake.ReadHeader(reader) != wanted) throw Reader.Malformed("no " + wanted);
    }

    void Send(Writer bytes) {
        int sent = 0;
        while (sent < bytes.Length) {
            int count = Connection.Send(new ArraySegment<byte>(bytes.Buffer, sent, bytes.Length - sent));
            if (count < 0 || Clock.Until(deadline) == 0) throw Left();
            if (count == 0) Connection.WaitForRoom(20);
            sent += count;
        }
    }

    static RlayException Left() =>
        new RlayException(ErrorCode.ConnectionLost, "the dialer left before the handshake was over");
}

}
