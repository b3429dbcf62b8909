// A sample: an agent pushes an object along the x axis until it rests in the middle. Add it to any object.

using Rlay;
using Rlay.Unity;
using UnityEngine;

public class SliderEnvironment : RlayEnvironment {
    const float Edge = 5;
    const int MostSteps = 200;

    // One observation serves for all steps.
    readonly float[] observation = new float[2];
    System.Random random = new System.Random();
    float speed;
    int steps;

    protected override Spec Describe() => new Spec(
        new BoxSpace(-20, 20, DType.Float32, 2),
        new BoxSpace(-1, 1, DType.Float32, 1),
        new Dict { { "render_modes", new System.Collections.Generic.List<object> { "ansi" } } });

    protected override ResetResult BeginEpisode(Seed seed, object options) {
        if (seed != null) random = new System.Random((int)seed.Low64);
        transform.localPosition = new Vector3((float)random.NextDouble() * 8 - 4, 0, 0);
        speed = 0;
        steps = 0;
        return new ResetResult(Observe());
    }

    protected override void Act(object action) {
        float push = ((NdArray)action).As<float>()[0];
        speed += Mathf.Clamp(push, -1, 1) * 4 * Time.fixedDeltaTime;
        transform.localPosition += new Vector3(speed * Time.fixedDeltaTime, 0, 0);
    }

    protected override StepResult EndStep() {
        steps++;
        float x = transform.localPosition.x;
        return new StepResult(Observe(), 1 - Mathf.Abs(x) / Edge, Mathf.Abs(x) > Edge, steps >= MostSteps);
    }

    protected override object Draw() => "x=" + transform.localPosition.x;

    float[] Observe() {
        observation[0] = transform.localPosition.x;
        observation[1] = speed;
        return observation;
    }
}
