// Where to dial or to listen.

using System;
using System.Globalization;
using System.Net;

namespace Rlay {

/// <summary>An address taken apart.</summary>
internal sealed class Address {
    const string Scheme = "tcp://";
    const string Remote = "?insecure_allow_remote=yes";

    public readonly string Text, Host;
    public readonly ushort Port;
    /// <summary>Whether other machines may dial although there is no token.</summary>
    public readonly bool AllowsRemote;

    public Address(string text, bool listens) {
        Text = text ?? "";
        if (!Text.StartsWith(Scheme, StringComparison.Ordinal)) {
            throw Bad("this client knows tcp:// alone; use tcp://host:port at both ends, such as tcp://127.0.0.1:5005");
        }
        AllowsRemote = listens && Text.EndsWith(Remote, StringComparison.Ordinal);
        string place = Text.Substring(Scheme.Length, Text.Length - Scheme.Length - (AllowsRemote ? Remote.Length : 0));
        int colon = place.LastIndexOf(':');
        bool isPort = ushort.TryParse(place.Substring(colon + 1), NumberStyles.None, null, out Port);
        Host = place.Substring(0, Math.Max(colon, 0));
        bool isBracketed = Host.StartsWith("[", StringComparison.Ordinal)
            && Host.EndsWith("]", StringComparison.Ordinal);
        bool isHost = isBracketed ? Host.Length > 2 : Host.Length > 0 && Host.IndexOfAny(new[] { ':', '/', '?' }) < 0;
        if (!isPort || !isHost) {
            throw Bad("an address is tcp://host:port, such as tcp://127.0.0.1:5005"
                + (listens ? "" : ", without options"));
        }
    }

    public RlayException Bad(string why) =>
        new RlayException(ErrorCode.Address, "the address '" + Options.Shown(Text) + "' cannot be used: " + why);

    /// <summary>What the host's name stands for. It blocks while a name is looked up.</summary>
    public IPAddress[] Resolve() {
        string name = Host.Trim('[', ']');
        return IPAddress.TryParse(name, out IPAddress number) ? new[] { number } : Dns.GetHostAddresses(name);
    }
}

}
