using Grid.Server.Hosting;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Picks the partition of messages and keys: the hour by which all in it is past its time, in hours since 1970. What has the same
/// hour goes at once, with the partition, whatever namespace it is of.
/// </summary>
/// <remarks>
/// The hours are coarser for what is kept longer, so that there are few partitions: every read looks into each of them. The price is
/// that a row stays up to one step longer on disk than anybody can see it.
/// </remarks>
internal static class PostgresBuckets
{
    /// <summary>The bucket of what never expires by age.</summary>
    public const int Never = 0;

    private const int HourMs = 3_600_000;

    /// <summary>A hundred years are for ever.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromDays(36_500);

    /// <summary>The hour that is now, rounded down.</summary>
    public static int Hour(long now) => (int)(now / HourMs);

    /// <summary>The bucket of messages appended now.</summary>
    public static int OfMessages(long now, NamespacePolicy policy) =>
        policy.MaxAge is { } age && age < Longest ? Bucket(now, age, StepOfMessages(age)) : Never;

    /// <summary>
    /// The last bucket that is not worth deleting from: what was trimmed for its age lies in this one or an earlier one, and goes with it.
    /// </summary>
    public static int GoesSoon(long now, NamespacePolicy policy) => Hour(now) + 1 + (policy.MaxAge is { } age ? StepOfMessages(age) : 1);

    /// <summary>The bucket of keys appended now: at most three of a window are in use, since every key is looked up in each.</summary>
    public static int OfKeys(long now, TimeSpan window)
    {
        if (window > Longest) window = Longest;
        return Bucket(now, window, Math.Max(1, (int)Math.Ceiling(window.TotalHours / 2)));
    }

    /// <summary>About eight steps in the time that messages are kept.</summary>
    private static int StepOfMessages(TimeSpan age) => age.TotalHours switch
    {
        <= 8 => 1,
        <= 48 => 6,
        <= 8 * 24 => 24,
        var hours => (int)Math.Ceiling(hours / (8 * 24)) * 24,
    };

    private static int Bucket(long now, TimeSpan age, int step)
    {
        var hours = (now + (long)age.TotalMilliseconds + HourMs - 1) / HourMs;
        return (int)((hours + step - 1) / step * step);
    }
}
