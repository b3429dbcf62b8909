// The elements of a payload while they are packed or unpacked: docs/wire.md, section 7.

using System.Collections.Generic;

namespace Rlay {

/// <summary>
/// The elements of a payload, one for each row, and the place in each that is packed or unpacked just now.
/// </summary>
internal sealed class Rows {
    readonly object[] elements;
    readonly int[] path = new int[Reader.MostDepth];
    int depth;

    public Rows(int count) { elements = new object[count]; }

    public int Count => elements.Length;

    /// <summary>What is at the current place of a row.</summary>
    public object this[int row] {
        get { return Walk(row, depth); }
        set {
            object container = depth > 0 ? Walk(row, depth - 1) : null;
            if (container == null) elements[row] = value;
            else if (container is PyTuple) ((PyTuple)container)[path[depth - 1]] = value;
            else ((Dict)container).SetAt(path[depth - 1], value);
        }
    }

    object Walk(int row, int levels) {
        object at = elements[row];
        for (int i = 0; i < levels; i++) at = at is PyTuple ? ((PyTuple)at)[path[i]] : ((Dict)at).ValueAt(path[i]);
        return at;
    }

    public bool PackMembers(Writer writer, IList<EnvSpace> spaces) {
        bool fits = true;
        depth++;
        for (int i = 0; i < spaces.Count && fits; i++) {
            path[depth - 1] = i;
            fits = spaces[i].Pack(writer, this);
        }
        depth--;
        return fits;
    }

    public void UnpackMembers(Reader reader, IList<EnvSpace> spaces) {
        depth++;
        try {
            for (int i = 0; i < spaces.Count; i++) {
                path[depth - 1] = i;
                spaces[i].Unpack(reader, this);
            }
        } finally {
            depth--;
        }
    }
}

}
