namespace Grid.Server.Api;

/// <summary>
/// All sample receivers of the playground: one grain, so that a delivery, the page that watches and the page that breaks it meet on whatever
/// silo each of them arrives. In memory only; pages tell their receivers again what a restart forgot.
/// </summary>
[Alias("grid.ISampleReceiverGrain")]
internal interface ISampleReceiverGrain : IGrainWithIntegerKey
{
    /// <summary>Makes a receiver, or changes one: null leaves what is.</summary>
    /// <returns>False: it is new, and cannot be without a secret.</returns>
    [Alias("Set")]
    Task<bool> SetAsync(string name, ReceiverBehaviour? behaviour, string? secret);

    /// <summary>What a receiver does, and what it received after a number; null: there is none.</summary>
    [Alias("Read")]
    Task<ReceiverState?> ReadAsync(string name, long after);

    /// <summary>Takes a request in, and tells how it is to be answered.</summary>
    [Alias("Take")]
    Task<ReceiverAnswer> TakeAsync(string name, ReceivedRequest request);
}

/// <summary>What a sample receiver does with requests whose signature is right.</summary>
[GenerateSerializer, Alias("grid.ReceiverBehaviour")]
internal enum ReceiverBehaviour
{
    /// <summary>Answers 204.</summary>
    Ok,

    /// <summary>Answers 204 after three seconds.</summary>
    Slow,

    /// <summary>Answers 500.</summary>
    Error,

    /// <summary>Answers 500 and 204 in turn.</summary>
    Flap,

    /// <summary>Answers 400.</summary>
    Reject,

    /// <summary>Answers 429 with <c>Retry-After</c>.</summary>
    Busy,

    /// <summary>Answers 410.</summary>
    Gone,

    /// <summary>Answers 302.</summary>
    Redirect,

    /// <summary>Does not answer.</summary>
    Hang,

    /// <summary>Closes the connection.</summary>
    Reset,
}

/// <summary>A request to a sample receiver.</summary>
[GenerateSerializer, Immutable, Alias("grid.ReceivedRequest")]
internal sealed record ReceivedRequest
{
    [Id(0)] public required string Id { get; init; }

    [Id(1)] public required string Timestamp { get; init; }

    [Id(2)] public required string Signature { get; init; }

    [Id(3)] public required string Channel { get; init; }

    [Id(4)] public long Offset { get; init; }

    [Id(5)] public int Attempt { get; init; }

    [Id(6)] public required byte[] Body { get; init; }
}

/// <summary>How a request is answered.</summary>
[GenerateSerializer, Alias("grid.ReceiverAnswer")]
internal enum ReceiverAnswer
{
    /// <summary>No such receiver.</summary>
    Unknown,

    /// <summary>The signature is not right.</summary>
    Refused,

    /// <summary>204.</summary>
    Ok,

    /// <summary>204, later.</summary>
    Slow,

    /// <summary>500.</summary>
    Error,

    /// <summary>400.</summary>
    Reject,

    /// <summary>429.</summary>
    Busy,

    /// <summary>410.</summary>
    Gone,

    /// <summary>302.</summary>
    Redirect,

    /// <summary>None.</summary>
    Hang,

    /// <summary>None, and the connection closed.</summary>
    Reset,
}

/// <summary>A receiver, as the page shows it.</summary>
[GenerateSerializer, Immutable, Alias("grid.ReceiverState")]
internal sealed record ReceiverState
{
    [Id(0)] public ReceiverBehaviour Behaviour { get; init; }

    /// <summary>Requests with the right signature, ever.</summary>
    [Id(1)] public long Total { get; init; }

    /// <summary>Requests without it, ever.</summary>
    [Id(2)] public long Refused { get; init; }

    /// <summary>Messages that were accepted, each counted once.</summary>
    [Id(3)] public long Accepted { get; init; }

    /// <summary>Messages that came again after they had been accepted.</summary>
    [Id(4)] public long Repeats { get; init; }

    /// <summary>The latest requests, newest first.</summary>
    [Id(5)] public ReceivedItem[] Received { get; init; } = [];
}

/// <summary>A request that was received.</summary>
[GenerateSerializer, Immutable, Alias("grid.ReceivedItem")]
internal sealed record ReceivedItem
{
    [Id(0)] public long Number { get; init; }

    [Id(1)] public DateTime At { get; init; }

    [Id(2)] public required string Id { get; init; }

    [Id(3)] public required string Channel { get; init; }

    [Id(4)] public long Offset { get; init; }

    [Id(5)] public int Attempt { get; init; }

    [Id(6)] public required string Body { get; init; }

    [Id(7)] public ReceiverAnswer Answer { get; init; }
}
