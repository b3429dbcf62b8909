// The command line of the programs that host environments: game and the examples.

using System;
using System.Threading;
using Rlay;

internal static class CommandLine {
    /// <summary>Hosts environments as the arguments say, until the program is ended.</summary>
    public static int Run(string[] arguments, Func<Make, Env> make, params string[] allowedKwargs) {
        string dial = null, listen = null;
        var options = new Options { Token = Options.LaunchedToken, AllowedKwargs = allowedKwargs };
        for (int i = 0; i < arguments.Length; i++) {
            string value = i + 1 < arguments.Length ? arguments[i + 1] : null;
            switch (value == null ? "" : arguments[i]) {
                case "--dial": dial = value; break;
                case "--listen": listen = value; break;
                case "--sessions": options.MaxSessions = int.Parse(value); break;
                default:
                    Console.Error.WriteLine("usage: --dial ADDRESS or --listen ADDRESS, and --sessions N");
                    return 2;
            }
            i++;
        }
        dial = dial ?? (listen == null ? Options.LaunchedAddress : null);
        try {
            Backend backend = listen != null
                ? (Backend)new ServerBackend(make, listen, options)
                : new ClientBackend(make, dial, options);
            if (listen != null) Console.WriteLine("listening at " + backend.Address);
            backend.Run();
        } catch (RlayException error) {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
        return 0;
    }
}
