// The game that every client plays: see sdk/tests/GAME.md.

using System;
using System.Collections.Generic;
using System.Threading;
using Rlay;

internal static class Game {
    static int Main(string[] arguments) => CommandLine.Run(arguments, MakeEnv, "case");

    static Env MakeEnv(Make make) {
        object number = make.Kwargs["case"];
        if (make.EnvId == "Echo") return new Echo((int)Value.ToInt64(number));
        if (make.EnvId != null && make.EnvId != "Drift") throw new ArgumentException("there is no " + make.EnvId);
        if (number != null) throw new RlayException(ErrorCode.Usage, "Drift has no keyword argument case");
        return new Drift(make.RenderMode);
    }
}

/// <summary>The generator.</summary>
internal sealed class Pcg32 {
    ulong state;

    public Pcg32() { Seed(0); }

    public void Seed(ulong seed) {
        state = 0;
        Next();
        state += seed;
        Next();
    }

    public uint Next() {
        ulong old = state;
        state = old * 6364136223846793005 + 109;
        uint x = (uint)(((old >> 18) ^ old) >> 27);
        int r = (int)(old >> 59);
        return (x >> r) | (x << ((32 - r) & 31));
    }
}

/// <summary>A thing that drifts, and is pushed.</summary>
internal sealed class Drift : Env {
    static readonly EnvSpace Observations = new DictSpace {
        { "board", new BoxSpace(0, 255, DType.UInt8, 8, 8) },
        { "dials", new MultiDiscreteSpace(3, 5) },
        { "fuel", new DiscreteSpace(32) },
        { "lights", new MultiBinarySpace(4) },
        { "position", new BoxSpace(double.NegativeInfinity, double.PositiveInfinity, DType.Float64, 2) },
    };
    static readonly EnvSpace Actions = new DiscreteSpace(3);

    readonly Pcg32 random = new Pcg32();
    readonly string renderMode;
    // One observation serves for all steps.
    readonly byte[] board = new byte[64];
    readonly long[] dials = new long[2];
    readonly sbyte[] lights = new sbyte[4];
    readonly double[] position = new double[2];
    readonly Dict observation;
    long t, fuel;
    double x, v;

    public Drift(string renderMode) {
        this.renderMode = renderMode;
        observation = new Dict {
            { "board", board }, { "dials", dials }, { "fuel", 0 }, { "lights", lights }, { "position", position },
        };
    }

    public override EnvSpace ObservationSpace => Observations;
    public override EnvSpace ActionSpace => Actions;

    public override Dict Metadata => new Dict {
        { "render_modes", new List<object> { "rgb_array", "ansi" } }, { "render_fps", 25 },
    };

    public override Dict Details => new Dict {
        { "reward_threshold", 60.0 }, { "nondeterministic", false }, { "max_episode_steps", 100 },
    };

    public override ResetResult Reset(Seed seed, object options) {
        if (seed != null) random.Seed(seed.Low64);
        t = 0;
        x = random.Next() / 2147483648.0 - 1;
        v = 0;
        fuel = 20 + random.Next() % 12;
        for (int i = 0; i < 64; i++) board[i] = (byte)(random.Next() & 255);
        SetLamps();
        if (options is Dict named && named["sleep"] is double seconds) Thread.Sleep((int)(1000 * seconds));
        return new ResetResult(Observe(), new Dict { { "seeded", seed != null }, { "options", options } });
    }

    public override StepResult Step(object action) {
        long a = Value.ToInt64(action);
        if (a < 0 || a > 2) throw new ArgumentException("an action from 0 to 2, not " + a);
        t++;
        v = v * 0.9375 + (a - 1) * 0.0625 + (random.Next() / 4294967296.0 - 0.5) * 0.03125;
        x = x + v;
        if (a != 1 && fuel > 0) fuel--;
        uint cell = random.Next() % 64;
        board[cell] = (byte)(random.Next() & 255);
        SetLamps();
        var info = new Dict {
            { "t", t }, { "speed", Math.Abs(v) }, { "far", x > 1 || x < -1 }, { "name", "drift – é漢🎲" },
        };
        return new StepResult(Observe(), 1 - x * x, x > 2 || x < -2 || fuel == 0, t >= 100, info);
    }

    public override object Render() {
        if (renderMode == "ansi") return "t=" + t;
        var pixels = new byte[192];
        for (int i = 0; i < 64; i++) {
            pixels[3 * i] = board[i];
            pixels[3 * i + 1] = (byte)(255 - board[i]);
            pixels[3 * i + 2] = (byte)(t & 255);
        }
        return new NdArray(pixels, 8, 8, 3);
    }

    void SetLamps() {
        dials[0] = t % 3;
        dials[1] = random.Next() % 5;
        uint n = random.Next() & 15;
        for (int i = 0; i < 4; i++) lights[i] = (sbyte)((n >> i) & 1);
    }

    Dict Observe() {
        observation["fuel"] = fuel;
        position[0] = x;
        position[1] = v;
        return observation;
    }
}

/// <summary>Observes its actions.</summary>
internal sealed class Echo : Env {
    readonly EnvSpace space;

    public Echo(int number) { space = Cases[number](); }

    public override EnvSpace ObservationSpace => space;
    public override EnvSpace ActionSpace => space;

    public override ResetResult Reset(Seed seed, object options) =>
        new ResetResult(Zero(space), new Dict { { "seeded", seed != null }, { "options", options } });

    public override StepResult Step(object action) => new StepResult(action, 0.5);

    static readonly Func<EnvSpace>[] Cases = {
        () => new BoxSpace(-1, 1, DType.Float32, 2, 3),
        () => new BoxSpace(0, 255, DType.UInt8, 4, 5, 3),
        () => new BoxSpace(double.NegativeInfinity, double.PositiveInfinity, DType.Float64),
        () => new DiscreteSpace(5, start: -2),
        () => new MultiBinarySpace(new long[] { 2, 3 }),
        () => new MultiDiscreteSpace(new long[] { 3, 5, 2 }, new long[] { 0, -1, 7 }),
        () => new TextSpace(12, minLength: 1, charset: "aé漢🎲 b"),
        () => new TupleSpace(new DiscreteSpace(3), new BoxSpace(0, 1, DType.Float64, 2)),
        () => new DictSpace {
            { "a", new DiscreteSpace(2) }, { "b", new TupleSpace(new MultiBinarySpace(3), new TextSpace(4)) },
        },
        () => new SequenceSpace(new BoxSpace(0, 1, DType.Float32, 2)),
        () => new SequenceSpace(new DiscreteSpace(4), stack: true),
        () => new GraphSpace(new BoxSpace(-1, 1, DType.Float32, 3), new DiscreteSpace(4)),
        () => new OneOfSpace(new DiscreteSpace(3), new BoxSpace(-1, 1, DType.Float32, 2)),
        () => new BoxSpace(-1, 1, DType.Float16, 3),
        () => new BoxSpace(0, 1, DType.Bool, 2),
        () => new BoxSpace(long.MinValue, long.MaxValue, DType.Int64, 2),
        () => new BoxSpace(
            new NdArray(new[] { -1, float.NegativeInfinity }), new NdArray(new[] { 1f, 5f })),
        () => new GraphSpace(new BoxSpace(-1, 1, DType.Float64, 2), null),
    };

    static object Zero(EnvSpace space) {
        var multi = space as MultiDiscreteSpace;
        if (multi != null) return new NdArray(multi.DType, multi.Start, multi.Shape);
        var array = space as ArraySpace;
        if (array != null) return NdArray.Zeros(array.DType, array.Shape);
        var discrete = space as DiscreteSpace;
        if (discrete != null) return discrete.Start;
        var text = space as TextSpace;
        if (text != null) return text.MinLength > 0 ? text.Charset.Substring(0, 1) : "";
        var tuple = space as TupleSpace;
        if (tuple != null) {
            var items = new object[tuple.Spaces.Length];
            for (int i = 0; i < items.Length; i++) items[i] = Zero(tuple.Spaces[i]);
            return new PyTuple(items);
        }
        var dict = space as DictSpace;
        if (dict != null) {
            var members = new Dict();
            foreach (KeyValuePair<object, EnvSpace> member in dict) members.Add(member.Key, Zero(member.Value));
            return members;
        }
        var sequence = space as SequenceSpace;
        if (sequence != null) {
            return sequence.Stack ? (object)NdArray.Zeros(DType.Int64, 0) : new PyTuple(new object[0]);
        }
        var graph = space as GraphSpace;
        if (graph != null) {
            var node = (BoxSpace)graph.Node;
            return new Graph(NdArray.Zeros(node.DType, 1, node.Shape[0]), null, null);
        }
        return new PyTuple(new Scalar(DType.Int64, 0), Zero(((OneOfSpace)space).Spaces[0]));
    }
}
