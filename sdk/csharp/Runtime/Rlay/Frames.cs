// Streams of bytes cut into frames, and the frames that were sent: docs/wire.md, sections 1 and 21.

using System;
using System.Collections.Generic;
using System.Text;

namespace Rlay {

/// <summary>Bytes that have arrived, cut into frames.</summary>
internal sealed class FrameReader {
    const int Least = 1 << 14;

    byte[] buffer = new byte[Least];
    int start, end;

    /// <summary>The longest frame that is taken.</summary>
    public ulong Limit = Handshake.FrameLimit;
    /// <summary>Whether the mark was read behind which nothing follows.</summary>
    public bool IsClosed { get; private set; }
    /// <summary>How many bytes do not make a frame yet.</summary>
    public int Rest => end - start;

    /// <summary>
    /// Room for more bytes. The buffer grows with what has arrived, not with what is announced; frames that were
    /// read before are overwritten.
    /// </summary>
    public ArraySegment<byte> Room() {
        if (IsClosed || start == end) start = end = 0;
        if (buffer.Length - end < Least / 4) {
            byte[] larger = end - start > buffer.Length / 2 ? new byte[2 * buffer.Length] : buffer;
            Buffer.BlockCopy(buffer, start, larger, 0, end - start);
            buffer = larger;
            end -= start;
            start = 0;
        }
        return new ArraySegment<byte>(buffer, end, buffer.Length - end);
    }

    /// <summary>Says that so many bytes were put there.</summary>
    public void Add(int count) => end += count;

    /// <summary>Names a peer of another protocol, by its first bytes.</summary>
    static string Foreign(byte[] data, int at) {
        string word = Encoding.ASCII.GetString(data, at, 4);
        bool isTls = (word[0] == '\x15' || word[0] == '\x16') && word[1] == '\x03';
        bool isHttp = Array.IndexOf(new[] { "GET ", "POST", "HEAD", "PUT ", "OPTI", "HTTP", "PRI " }, word) >= 0;
        return isTls ? "; this is a TLS peer: use tcp:// at both ends"
            : isHttp ? "; this is an HTTP peer: check address and port" : "";
    }

    /// <summary>Sets the reader to the next frame, if there is a whole one.</summary>
    public bool Next(Reader reader) {
        if (IsClosed || end - start < 4) return false;
        uint length = (uint)Reader.Little(buffer, start, 4);
        IsClosed = length == uint.MaxValue;
        if (IsClosed) return false;
        if (length > Limit) {
            string what = "a frame of " + length + " bytes, where " + Limit + " are the most";
            throw Reader.Malformed(what + Foreign(buffer, start));
        }
        if (end - start - 4 < length) return false;
        reader.Begin(buffer, start + 4, start + 4 + (int)length);
        start += 4 + (int)length;
        return true;
    }
}

/// <summary>The frames that a session has written, in order, kept until the peer has acknowledged them.</summary>
internal sealed class Outbox {
    const int MostFrames = 2048;
    const int MostBytes = 1 << 26;

    readonly Writer bytes = new Writer();

    /// <summary>Where each frame that is kept begins in the bytes.</summary>
    readonly List<int> starts = new List<int>();
    /// <summary>The number of the first frame that is kept.</summary>
    ulong first = 1;

    /// <summary>
    /// How many of the bytes were sent, and how many may be: a frame that is not written yet may not.
    /// </summary>
    int sent, committed;
    /// <summary>Whether frames are kept when they were sent, because the session can be resumed.</summary>
    public bool Keeps;
    /// <summary>The number of the last frame that the peer has received, as far as it has said.</summary>
    public ulong Acknowledged;
    /// <summary>The number of the last frame.</summary>
    public ulong Last => first + (ulong)starts.Count - 1;
    /// <summary>How long the frame is that was begun last.</summary>
    public int FrameLength => bytes.FrameLength;

    public ArraySegment<byte> Output => new ArraySegment<byte>(bytes.Buffer, sent, committed - sent);

    public void Sent(int count) => sent += count;

    /// <summary>Begins a frame. Without a Commit it is dropped when the next one begins.</summary>
    public Writer Begin(Kind kind, ulong received, ulong re) {
        Trim();
        bytes.Length = committed;
        return bytes.BeginFrame(kind, Last + 1, received, re);
    }

    public void Commit() {
        starts.Add(committed);
        committed = bytes.EndFrame().Length;
    }

    /// <summary>Says that nothing follows, and the connection is closed.</summary>
    public void CloseMark() {
        bytes.Length = committed;
        committed = bytes.U32(uint.MaxValue).Length;
    }

    /// <summary>Sends again what follows this frame; false if not all of that was kept.</summary>
    public bool RewindTo(ulong received) {
        if (received + 1 < first) return false;
        int index = (int)(received + 1 - first);
        sent = index < starts.Count ? starts[index] : committed;
        return true;
    }

    /// <summary>
    /// Forgets frames that the peer has acknowledged and, where there are too many, all that were sent.
    /// </summary>
    void Trim() {
        bool isTooMuch = starts.Count >= MostFrames || (starts.Count > 1 && committed - starts[0] > MostBytes);
        int count = 0, cut = 0;
        while (count < starts.Count) {
            int end = count + 1 < starts.Count ? starts[count + 1] : committed;
            if (end > sent || (Keeps && !isTooMuch && first + (ulong)count > Acknowledged)) break;
            cut = end;
            count++;
        }
        starts.RemoveRange(0, count);
        first += (ulong)count;
        // To move the rest each time would take time by the square of the number of frames.
        if (cut == 0 || committed - cut > cut) return;
        Buffer.BlockCopy(bytes.Buffer, cut, bytes.Buffer, 0, committed - cut);
        committed -= cut;
        sent -= cut;
        for (int i = 0; i < starts.Count; i++) starts[i] -= cut;
    }
}

}
