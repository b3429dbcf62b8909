// The options of hosts, and their log.

using System;
using System.Collections.Generic;
using System.Text;

namespace Rlay {

/// <summary>What backends, the poll form and sessions can be told.</summary>
public sealed class Options {
    readonly Dictionary<string, int> said = new Dictionary<string, int>();

    /// <summary>
    /// A secret that both ends know, of at least eight visible characters; null for none. It is never sent.
    /// </summary>
    public string Token { get; set; }
    /// <summary>How many sessions at a time, each with an environment and a thread of its own.</summary>
    public int MaxSessions { get; set; } = 1;
    /// <summary>The longest frame that is accepted, in bytes, from 65536 to 2^29.</summary>
    public int MaxFrame { get; set; } = 64 << 20;

    /// <summary>
    /// How long a session whose connection was lost is kept. Null: 30 s, and a dialer gives up at once if nothing
    /// listens any more.
    /// </summary>
    public TimeSpan? ReconnectTimeout { get; set; }

    /// <summary>The names of keyword arguments that agents may pass; none unless listed.</summary>
    public ICollection<string> AllowedKwargs { get; set; } = new string[0];
    /// <summary>Takes each line of the log, on any thread; the standard error output unless set.</summary>
    public Action<string> Log { get; set; } = Console.Error.WriteLine;
    /// <summary>The address that a program dials which an agent has launched (RLAY_ADDRESS), else null.</summary>
    public static string LaunchedAddress => FromVariable("RLAY_ADDRESS");
    /// <summary>The token of a program that an agent has launched (RLAY_TOKEN), else null.</summary>
    public static string LaunchedToken => FromVariable("RLAY_TOKEN");

    static string FromVariable(string name) {
        string text = Environment.GetEnvironmentVariable(name);
        return string.IsNullOrEmpty(text) ? null : text;
    }

    internal long ReconnectMilliseconds => (long)(ReconnectTimeout ?? TimeSpan.FromSeconds(30)).TotalMilliseconds;

    /// <summary>Text of a peer as people may see it: short, on one line, without what acts on a terminal.</summary>
    internal static string Shown(string text) {
        var line = new StringBuilder();
        for (int i = 0; i < Math.Min(text.Length, 500); i++) {
            char c = text[i];
            bool acts = char.IsControl(c) || (c >= '\u2028' && c <= '\u202e') || (c >= '\u2066' && c <= '\u2069');
            line.Append(acts ? ' ' : c);
        }
        return line.Append(text.Length > 500 ? "…" : "").ToString();
    }

    /// <summary>Logs one line.</summary>
    internal void Say(string text) {
        try {
            Log?.Invoke("rlay: " + Shown(text));
        } catch (Exception) {
            // A log that fails is not to end a session, and there is nowhere to say so.
        }
    }

    /// <summary>Logs a line the first, tenth, hundredth… time, for peers can repeat anything.</summary>
    internal void SaySeldom(string text) {
        int times;
        lock (said) {
            if (said.Count > 1000) said.Clear();
            said.TryGetValue(text, out times);
            said[text] = ++times;
        }
        int rest = times;
        while (rest % 10 == 0) rest /= 10;
        if (rest == 1) Say(text + (times > 1 ? " (" + times + " times so far)" : ""));
    }

    /// <summary>These options, or the usual ones if they are null. Throws if they make no sense.</summary>
    internal static Options Checked(Options given) {
        Options options = given ?? new Options();
        options.Check();
        return options;
    }

    void Check() {
        int visible = 0;
        foreach (char c in Token ?? "") {
            if (!char.IsWhiteSpace(c) && !char.IsControl(c) && !char.IsLowSurrogate(c)) visible++;
        }
        string wrong = Token != null && visible < 8 ? "Token has less than eight visible characters"
            : Token != null && !Writer.IsText(Token) ? "Token has half of a surrogate pair"
            : MaxSessions < 1 ? "MaxSessions is at least 1"
            : MaxFrame < Handshake.FrameLimit || MaxFrame > 1 << 29 ? "MaxFrame is a number of bytes from 65536 to 2^29"
            : ReconnectTimeout < TimeSpan.Zero ? "ReconnectTimeout is not negative"
            : AllowedKwargs == null ? "AllowedKwargs is a list, which may be empty" : null;
        if (wrong != null) throw new RlayException(ErrorCode.Usage, wrong);
    }
}

}
