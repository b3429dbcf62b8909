// What this library throws, and the codes that say which side caused it.

using System;

namespace Rlay {

/// <summary>Which side caused an error, numbered as on the wire.</summary>
public enum ErrorCode {
    /** <summary>A request that makes no sense here.</summary> */ Usage = 1,
    /** <summary>A step before the first reset.</summary> */ ResetNeeded = 2,
    /** <summary>The structure of the action is not that of the action space.</summary> */ InvalidAction = 3,
    /** <summary>The environment or the other end was closed.</summary> */ Closed = 4,
    /** <summary>Another request is under way, or there is no room for another session.</summary> */ Busy = 5,
    /** <summary>An address that cannot be used.</summary> */ Address = 6,
    /** <summary>Wire number, role, limits or spaces do not fit.</summary> */ Incompatible = 7,
    /** <summary>The peer broke the protocol.</summary> */ Protocol = 8,
    /** <summary>The code of the environment failed.</summary> */ Env = 9,
    /** <summary>The connection was lost.</summary> */ ConnectionLost = 10,
    /** <summary>Something took too long.</summary> */ Timeout = 11,
    /** <summary>Another program listens at this address.</summary> */ AddressInUse = 12,
    /** <summary>A token is missing or wrong, at either end.</summary> */ Unauthorized = 13,
}

/// <summary>
/// What this library throws. An environment may throw it, too: the agent then gets an error of the same code in
/// place of <see cref="ErrorCode.Env"/>, unless the code is about a connection, an address or the protocol.
/// </summary>
public sealed class RlayException : Exception {
    /// <summary>An error of this code.</summary>
    public RlayException(ErrorCode code, string message) : base(message) { Code = code; }
    /// <summary>Which side caused it.</summary>
    public ErrorCode Code { get; }
}

}
