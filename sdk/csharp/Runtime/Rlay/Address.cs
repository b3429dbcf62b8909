// Where to dial or to listen.

using System;
using System.Net;

namespace Rlay {

/// <summary>A place to dial or to listen at.</summary>
internal sealed class Address {
    public readonly string Text, Host;
    public readonly ushort Port;

    public Address(string text) {
        const string scheme = "tcp://";
        Text = text ?? "";
        if (!Text.StartsWith(scheme, StringComparison.Ordinal)) {
            throw Bad("this client knows tcp:// alone; use tcp://host:port at both ends, such as tcp://127.0.0.1:5005");
        }
        int colon = Text.LastIndexOf(':');
        if (colon <= scheme.Length || !ushort.TryParse(Text.Substring(colon + 1), out Port)) {
            throw Bad("an address is tcp://host:port, and has no options here");
        }
        Host = Text.Substring(scheme.Length, colon - scheme.Length);
    }

    RlayException Bad(string why) =>
        new RlayException(ErrorCode.Address, "the address '" + Text + "' cannot be used: " + why);

    /// <summary>What the host's name stands for. It blocks while a name is looked up.</summary>
    public IPAddress[] Resolve() {
        string name = Host.Trim('[', ']');
        return IPAddress.TryParse(name, out IPAddress number) ? new[] { number } : Dns.GetHostAddresses(name);
    }
}

}
