// A caller that does all of it wrong gets errors. Without arguments it makes every mistake that takes no agent; with
// --listen ADDRESS it hosts environments that are wrong in the way that the id says, and a log that throws.

using System;
using System.Collections.Generic;
using System.Threading;
using Rlay;

internal static class Misuse {
    static readonly Dict Nothing = new Dict();
    static Backend backend;

    static void Main(string[] arguments) {
        if (arguments.Length == 2 && arguments[0] == "--listen") {
            Host(arguments[1]);
            return;
        }
        MistakeSpaces();
        MistakeValues();
        MistakeOptions();
        MistakeAddresses();
        MistakePolledEnvs();
        MistakeSessions();
        MistakeBackends();
        Console.WriteLine("all mistakes are errors");
    }

    /// <summary>Fails unless the action throws a RlayException of this code whose message has this text.</summary>
    static void Expect(ErrorCode code, string text, Action action) {
        try {
            action();
        } catch (RlayException error) when (error.Code == code && error.Message.Contains(text)) {
            return;
        }
        throw new InvalidOperationException("no error of code " + code + ": " + text);
    }

    /// <summary>Fails unless the action throws an ArgumentException.</summary>
    static void ExpectArgument(string what, Action action) {
        try {
            action();
        } catch (ArgumentException) {
            return;
        }
        throw new InvalidOperationException("not refused: " + what);
    }

    static void MistakeSpaces() {
        ExpectArgument("a bound that is NaN", () => new BoxSpace(double.NaN, 1, DType.Float32, 2));
        ExpectArgument("another one", () => new BoxSpace(0, double.NaN, DType.Int32, 2));
        ExpectArgument("bounds in the wrong order", () => new BoxSpace(1, 0, DType.Float32, 2));
        ExpectArgument("infinite ones",
            () => new BoxSpace(double.PositiveInfinity, double.PositiveInfinity, DType.Float64));
        ExpectArgument("a bound that uint8 does not have", () => new BoxSpace(0, 256, DType.UInt8, 2));
        ExpectArgument("a negative one", () => new BoxSpace(-1, 1, DType.UInt64, 2));
        ExpectArgument("a fraction", () => new BoxSpace(0.5, 1, DType.Int8, 2));
        ExpectArgument("a negative size", () => new BoxSpace(0, 1, DType.Float32, -2));
        ExpectArgument("a size beyond all memory",
            () => new BoxSpace(0, 1, DType.Float32, long.MaxValue, long.MaxValue));
        ExpectArgument("bounds of other shapes",
            () => new BoxSpace(new NdArray(new[] { 1f }), new NdArray(new[] { 1f, 2f })));
        ExpectArgument("bounds of other dtypes",
            () => new BoxSpace(new NdArray(new[] { 1f }), new NdArray(new[] { 1.0 })));
        ExpectArgument("one of several bounds that is NaN",
            () => new BoxSpace(new NdArray(new[] { 0f, float.NaN }), new NdArray(new[] { 1f, 2f })));
        ExpectArgument("no integers", () => new DiscreteSpace(0));
        ExpectArgument("less than none", () => new DiscreteSpace(-3));
        ExpectArgument("integers of float32", () => new DiscreteSpace(3, 0, DType.Float32));
        ExpectArgument("a negative count", () => new MultiBinarySpace(-1));
        ExpectArgument("a count of 0", () => new MultiDiscreteSpace(3, 0));
        ExpectArgument("no counts", () => new MultiDiscreteSpace(null));
        ExpectArgument("no shape", () => new BoxSpace(0, 1, DType.Float32, null));
        ExpectArgument("no shape of a MultiBinary", () => new MultiBinarySpace(null));
        ExpectArgument("starts that do not fit", () => new MultiDiscreteSpace(new long[] { 3, 4 }, new long[] { 1 }));
        ExpectArgument("a negative length", () => new TextSpace(-1));
        ExpectArgument("lengths in the wrong order", () => new TextSpace(2, 3));
        ExpectArgument("no charset", () => new TextSpace(2, 1, null));
        ExpectArgument("null in a Tuple", () => new TupleSpace(new DiscreteSpace(2), null));
        ExpectArgument("null in a Dict", () => new DictSpace { { "a", null } });
        ExpectArgument("a key twice",
            () => new DictSpace { { "a", new DiscreteSpace(2) }, { "a", new DiscreteSpace(2) } });
        ExpectArgument("a Sequence of null", () => new SequenceSpace(null));
        ExpectArgument("a Graph of null", () => new GraphSpace(null, null));
        ExpectArgument("a OneOf of nothing", () => new OneOfSpace());
        ExpectArgument("no spaces", () => new Spec(null, new DiscreteSpace(2)));
    }

    static void MistakeValues() {
        ExpectArgument("a shape that does not fit", () => new NdArray(new float[6], 4));
        ExpectArgument("elements of another dtype", () => new NdArray(DType.Int8, new byte[2], new long[] { 2 }));
        ExpectArgument("no elements", () => new NdArray(DType.Int8, null, new long[] { 2 }));
        ExpectArgument("no shape", () => new NdArray(DType.Int8, new sbyte[2], null));
        ExpectArgument("nothing at all", () => new NdArray(null));
        ExpectArgument("an array of texts", () => new NdArray(new[] { "a" }));
        ExpectArgument("a key twice", () => new Dict { { "a", 1 }, { "a", 2 } });
        Expect(ErrorCode.InvalidAction, "an integer", () => Value.ToInt64("2"));
        Expect(ErrorCode.InvalidAction, "None", () => Value.ToInt64(null));
        Expect(ErrorCode.InvalidAction, "an integer", () => Value.ToInt64(new Scalar(DType.Float32, 2.0)));
    }

    static void MistakeOptions() {
        Func<Options, Action> session = options => () => new EnvSession(options);
        Expect(ErrorCode.Usage, "eight visible", session(new Options { Token = "seven 7" }));
        Expect(ErrorCode.Usage, "eight visible", session(new Options { Token = "\t           \n" }));
        Expect(ErrorCode.Usage, "surrogate", session(new Options { Token = "half of a pair \ud83c" }));
        Expect(ErrorCode.Usage, "MaxSessions", session(new Options { MaxSessions = 0 }));
        Expect(ErrorCode.Usage, "MaxFrame", session(new Options { MaxFrame = -1 }));
        Expect(ErrorCode.Usage, "MaxFrame", session(new Options { MaxFrame = int.MaxValue }));
        Expect(ErrorCode.Usage, "ReconnectTimeout",
            session(new Options { ReconnectTimeout = TimeSpan.FromSeconds(-1) }));
        Expect(ErrorCode.Usage, "AllowedKwargs", session(new Options { AllowedKwargs = null }));
    }

    static void MistakeAddresses() {
        foreach (string address in new[] {
            null, "", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://localhost:-1",
            "tcp://localhost:70000", "tcp://localhost: 5", "tcp://::1:5005", "tcp://127.0.0.1:0?mtu=9",
            "tcp://127.0.0.1:0/path", "tcp://0.0.0.0:0",
        }) {
            Expect(ErrorCode.Address, "tcp://", () => new ServerBackend(make => null, address));
        }
        Expect(ErrorCode.Address, "options",
            () => new ClientBackend(make => null, "tcp://1.2.3.4:5?insecure_allow_remote=yes"));
        foreach (string address in new[] {
            "unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005", "ws://127.0.0.1:5005",
        }) {
            Expect(ErrorCode.Address, "use tcp://host:port at both ends",
                () => new ServerBackend(make => null, address));
            Expect(ErrorCode.Address, "use tcp://host:port at both ends",
                () => new ClientBackend(make => null, address));
        }
        new ServerBackend(make => null, "tcp://0.0.0.0:0?insecure_allow_remote=yes").Close();
        var first = new ServerBackend(make => null, "tcp://127.0.0.1:0");
        Expect(ErrorCode.AddressInUse, first.Address, () => new ServerBackend(make => null, first.Address));
        first.Close();
    }

    static void MistakePolledEnvs() {
        var spec = new Spec(new DiscreteSpace(2), new DiscreteSpace(2));
        ExpectArgument("no spec", () => PolledEnv.Listen(null, "tcp://127.0.0.1:0", new Options()));
        PolledEnv host = PolledEnv.Listen(spec, "tcp://127.0.0.1:0", null);
        IsTrue(host.Poll() == null && !host.IsPlaying, "no agent");
        host.Close();
        host.Close();
        IsTrue(host.Poll(10) == null, "nothing after the end");
    }

    static void MistakeSessions() {
        var session = new EnvSession(null);
        Expect(ErrorCode.Usage, "no turn", () => new Turn(session).Reply(new StepResult(0, 0)));
        Expect(ErrorCode.Usage, "no turn", () => new Turn(session).Fail("Error", "too early"));
        ExpectArgument("no error", () => new Turn(session).Fail(null));
        session.Receive(new byte[3], 0, 3);
        session.ConnectionLost("before there was any");
        session.Goodbye(0, "half of a pair \ud83c");
        session.Goodbye();
        IsTrue(session.IsOver && session.NextTurn() == null && !session.CanResume, "over");
        new Turn(session).Reply(new StepResult(0, 0));
    }

    static void MistakeBackends() {
        ExpectArgument("no function", () => new ServerBackend(null, "tcp://127.0.0.1:0"));
        var listening = new ServerBackend(make => null, "tcp://127.0.0.1:0");
        listening.Start();
        listening.Close();
        listening.Close();
        listening.Run();
        var dialing = new ClientBackend(make => null, "tcp://127.0.0.1:1", new Options { Log = null });
        dialing.Start();
        dialing.Close();
        dialing.Run();
    }

    static void IsTrue(bool isSo, string what) {
        if (!isSo) throw new InvalidOperationException("not so: " + what);
    }

    static void Host(string address) {
        var options = new Options { Log = text => { throw new InvalidOperationException("the log: " + text); } };
        backend = new ServerBackend(MakeEnv, address, options);
        Console.WriteLine("listening at " + backend.Address);
        backend.Run();
        Console.WriteLine("closed");
    }

    static void CloseBeside() {
        backend.Close();
        Console.WriteLine("closed beside a step");
        Environment.Exit(0);
    }

    static Env MakeEnv(Make make) {
        if (make.EnvId == "make throws") throw new InvalidOperationException("make");
        return make.EnvId == "make gives nothing" ? null : new Wrong(make.EnvId);
    }

    /// <summary>An environment that is wrong in one way.</summary>
    sealed class Wrong : Env {
        readonly string how;

        public Wrong(string how) { this.how = how; }

        public override EnvSpace ObservationSpace => how == "no space" ? null : new BoxSpace(0, 1, DType.Float32, 2);
        public override EnvSpace ActionSpace => new DiscreteSpace(2);
        public override Dict Metadata => new Dict { { "render_modes", new List<object> { "ansi" } } };

        public override ResetResult Reset(Seed seed, object options) {
            if (how == "reset throws") throw new InvalidOperationException("reset");
            return new ResetResult(new float[2], Nothing);
        }

        public override StepResult Step(object action) {
            if (how == "step throws") throw new InvalidOperationException("step");
            if (how == "step throws what cannot be shown") throw new Unspeakable();
            if (how == "step cannot be sent") return new StepResult(new Thread(() => { }), 0);
            if (how == "step closes the backend") backend.Close();
            if (how == "step hangs") {
                new Thread(CloseBeside).Start();
                Thread.Sleep(Timeout.Infinite);
            }
            return new StepResult(new float[2], 0);
        }

        public override object Render() {
            if (how == "render throws") throw new InvalidOperationException("render");
            return how == "render cannot be sent" ? (object)new Thread(() => { }) : "frame";
        }

        public override void Close() {
            if (how == "close throws") throw new InvalidOperationException("close");
        }
    }

    sealed class Unspeakable : Exception {
        public override string Message => throw new InvalidOperationException("no message");
        public override string ToString() => throw new InvalidOperationException("no text");
    }
}
