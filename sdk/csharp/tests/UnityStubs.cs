// The few types of Unity that the component and the sample use, so that both can be compiled and driven without Unity.

using System;

namespace UnityEngine {
    [AttributeUsage(AttributeTargets.Field)]
    public sealed class SerializeField : Attribute { }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute {
        public TooltipAttribute(string tooltip) { }
    }

    public struct Vector3 {
        public float x, y, z;

        public Vector3(float x, float y, float z) {
            this.x = x;
            this.y = y;
            this.z = z;
        }

        public static Vector3 operator +(Vector3 a, Vector3 b) => new Vector3(a.x + b.x, a.y + b.y, a.z + b.z);
    }

    /// <summary>Unity has a type of this name, which no script that uses the client may be confused with.</summary>
    public enum Space { World, Self }

    public class Transform {
        public Vector3 localPosition { get; set; }
    }

    public class MonoBehaviour {
        public bool enabled { get; set; } = true;
        public Transform transform { get; } = new Transform();
    }

    public static class Time {
        public static float timeScale { get; set; } = 1;
        public static float fixedDeltaTime { get; set; } = 0.02f;
    }

    public static class Mathf {
        public static float Clamp(float value, float min, float max) => Math.Max(min, Math.Min(max, value));
        public static float Abs(float value) => Math.Abs(value);
    }

    public static class Debug {
        public static void Log(object message) => Console.WriteLine(message);
        public static void LogError(object message) => Console.WriteLine(message);
        public static void LogException(Exception exception) => Console.WriteLine(exception.Message);
    }
}
