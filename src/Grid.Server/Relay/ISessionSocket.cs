using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Relay;

/// <summary>A socket of a session as the silo's relay knows it.</summary>
internal interface ISessionSocket
{
    /// <summary>The session's tenant.</summary>
    string Tenant { get; }

    /// <summary>The session.</summary>
    string Session { get; }

    /// <summary>The session's user.</summary>
    string User { get; }

    /// <summary>The generation that the socket holds.</summary>
    long Generation { get; }

    /// <summary>The session as operators see it.</summary>
    ConnectedSession Describe();

    /// <summary>Ends the socket; must not wait.</summary>
    void Close(CloseCode code, string reason);
}
