namespace Grid.Protocol.Proto;

/// <summary>The fields of <c>ClientFrame</c> in <c>grid.v1.proto</c>.</summary>
internal static class ClientField
{
    public const int Id = 1;
    public const int Hello = 2;
    public const int Auth = 3;
    public const int Subscribe = 4;
    public const int Unsubscribe = 5;
    public const int Publish = 6;
    public const int Ack = 7;
    public const int Ping = 8;
}

/// <summary>The fields of <c>ServerFrame</c>.</summary>
internal static class ServerField
{
    public const int Id = 1;
    public const int Welcome = 2;
    public const int Authorized = 3;
    public const int Subscribed = 4;
    public const int Unsubscribed = 5;
    public const int Published = 6;
    public const int Message = 7;
    public const int Gap = 8;
    public const int Error = 9;
    public const int GoAway = 10;
    public const int Pong = 11;
}
