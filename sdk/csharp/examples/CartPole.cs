// CartPole by the rules of Gymnasium's CartPole-v1: --dial ADDRESS or --listen ADDRESS, and --sessions N.

using System;
using Rlay;

internal sealed class CartPole : Env {
    const double Gravity = 9.8, PoleMass = 0.1, TotalMass = 1.1, HalfLength = 0.5, Force = 10, Tau = 0.02;
    const double LargestX = 2.4, LargestAngle = 12 * 2 * Math.PI / 360;
    const int MostSteps = 500;

    static readonly NdArray High = new NdArray(new[] {
        (float)(2 * LargestX), float.PositiveInfinity, (float)(2 * LargestAngle), float.PositiveInfinity,
    });
    static readonly NdArray Low = new NdArray(Array.ConvertAll(High.As<float>(), high => -high));
    static readonly EnvSpace Observations = new BoxSpace(Low, High);
    static readonly EnvSpace Actions = new DiscreteSpace(2);

    readonly float[] observation = new float[4];
    Random random = new Random();
    double x, speed, angle, turn;
    int steps;
    bool isOver;

    static int Main(string[] arguments) => CommandLine.Run(arguments, make => new CartPole());

    public override EnvSpace ObservationSpace => Observations;
    public override EnvSpace ActionSpace => Actions;
    public override Dict Details => new Dict { { "reward_threshold", 475.0 }, { "max_episode_steps", MostSteps } };

    public override ResetResult Reset(Seed seed, object options) {
        if (seed != null) random = new Random((int)seed.Low64);
        x = random.NextDouble() * 0.1 - 0.05;
        speed = random.NextDouble() * 0.1 - 0.05;
        angle = random.NextDouble() * 0.1 - 0.05;
        turn = random.NextDouble() * 0.1 - 0.05;
        steps = 0;
        isOver = false;
        return new ResetResult(Observe());
    }

    public override StepResult Step(object action) {
        long direction = Value.ToInt64(action);
        if (direction != 0 && direction != 1) throw new ArgumentException("an action of 0 or 1, not " + direction);
        double cos = Math.Cos(angle), sin = Math.Sin(angle);
        double force = direction == 1 ? Force : -Force;
        double push = (force + PoleMass * HalfLength * turn * turn * sin) / TotalMass;
        double angularAcceleration =
            (Gravity * sin - cos * push) / (HalfLength * (4.0 / 3.0 - PoleMass * cos * cos / TotalMass));
        double acceleration = push - PoleMass * HalfLength * angularAcceleration * cos / TotalMass;
        x += Tau * speed;
        speed += Tau * acceleration;
        angle += Tau * turn;
        turn += Tau * angularAcceleration;
        steps++;
        // The step that ends the episode is worth 1, too; those after it are worth nothing.
        double reward = isOver ? 0 : 1;
        isOver = isOver || Math.Abs(x) > LargestX || Math.Abs(angle) > LargestAngle;
        return new StepResult(Observe(), reward, isOver, steps >= MostSteps);
    }

    float[] Observe() {
        observation[0] = (float)x;
        observation[1] = (float)speed;
        observation[2] = (float)angle;
        observation[3] = (float)turn;
        return observation;
    }
}
