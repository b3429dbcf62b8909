// Does what Unity would do with the sample: enables the component, and calls FixedUpdate again and again, with physics
// in between. Prints what a test wants to know about it. Without "listen" it dials RLAY_ADDRESS; with "toggle" the
// component is disabled and enabled amid a step.

using System;
using System.Threading;
using Rlay;
using UnityEngine;

internal sealed class UnityLoop : SliderEnvironment {
    static int acts;
    static int collections;

    static void Main(string[] arguments) {
        var component = new UnityLoop {
            listens = Array.IndexOf(arguments, "listen") >= 0,
            address = "tcp://127.0.0.1:0",
            timeScale = 20,
            physicsSteps = 2,
        };
        bool toggles = Array.IndexOf(arguments, "toggle") >= 0;
        component.OnEnable();
        Console.Out.Flush();
        for (int frame = 0; component.enabled; frame++) {
            component.FixedUpdate();
            if (toggles && acts == 1) {
                // In the middle of the first step, which lasts two physics steps.
                toggles = false;
                component.OnDisable();
                component.OnEnable();
            }
            // Unity has other things to do when no agent plays.
            if (Time.timeScale == 1) Thread.Sleep(1);
        }
        component.OnDisable();
    }

    protected override void Act(object action) {
        // A thousand steps with the garbage collector watched, once all is warm.
        acts++;
        if (acts == 1000) collections = GC.CollectionCount(0);
        if (acts == 11000) Debug.Log("collections in 10000 steps: " + (GC.CollectionCount(0) - collections));
        float push = ((NdArray)action).As<float>()[0];
        if (float.IsNaN(push)) throw new ArgumentException("not a push");
        base.Act(action);
    }

    protected override void AgentLeft(string reason) =>
        Debug.Log("left after " + acts + " physics steps at time scale " + Time.timeScale + ": " + reason);
}
