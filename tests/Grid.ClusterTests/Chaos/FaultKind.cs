namespace Grid.ClusterTests.Chaos;

/// <summary>What is done to a cluster.</summary>
internal enum FaultKind
{
    /// <summary>A silo is killed (SIGKILL) and started again.</summary>
    Kill,

    /// <summary>A silo stands still (SIGSTOP) for a while and then goes on.</summary>
    Stop,

    /// <summary>A silo is asked to leave (SIGTERM) and started again.</summary>
    Drain,

    /// <summary>What a silo and the others send each other vanishes for a while.</summary>
    Cut,

    /// <summary>What a silo sends to the others vanishes for a while, but not what they send to it.</summary>
    CutOut,

    /// <summary>What the others send to a silo vanishes for a while, but not what it sends to them.</summary>
    CutIn,

    /// <summary>A silo joins, and leaves again or is killed.</summary>
    Grow,

    /// <summary>PostgreSQL is stopped in order and started again.</summary>
    PostgresFast,

    /// <summary>PostgreSQL is stopped as by a crash and started again.</summary>
    PostgresImmediate,

    /// <summary>Redis is killed and started again with what it had.</summary>
    RedisRestart,

    /// <summary>Redis forgets everything while it runs.</summary>
    RedisFlush,

    /// <summary>Redis is killed and started empty.</summary>
    RedisEmpty,
}
