namespace Grid.Testing.History;

/// <summary>
/// The judge of every test that loads, kills or slows a server: it compares what publishers were promised, what consumers were given
/// and what the store has. It knows the promises and nothing of how the server keeps them. The rules:
/// <list type="number">
/// <item>Stored offsets rise by exactly 1 from the oldest to the head; no message is stored twice; nothing is stored that nobody sent.</item>
/// <item>What was acknowledged is stored, at that offset, with that key and payload; a key has one offset; what was refused is not stored.</item>
/// <item>A publisher's messages on a channel are stored in the order in which it sent them.</item>
/// <item>A consumer's messages rise by exactly 1 from its first cursor to the head; holes are announced by gaps that the store justifies;
/// nothing comes twice to a consumer with its own cursors, and to one with the server's only after a resume; all equals the store.</item>
/// </list>
/// </summary>
public static class HistoryChecker
{
    /// <summary>Judges a history. All violations are found, not only the first.</summary>
    public static HistoryReport Check(HistoryRecorder history)
    {
        ArgumentNullException.ThrowIfNull(history);
        var violations = new List<Violation>();
        var publishes = history.Publishes;
        var consumers = history.Consumers;
        foreach (var channel in publishes.Select(p => p.Channel).Concat(consumers.Select(c => c.Channel)).Distinct().Order(StringComparer.Ordinal))
        {
            if (!history.StoredChannels.ContainsKey(channel))
            {
                violations.Add(new(ViolationKind.NotRead, channel, "the test", "the channel's stored history was not recorded", []));
            }
        }

        var byChannel = publishes.ToLookup(p => p.Channel, StringComparer.Ordinal);
        foreach (var stored in history.StoredChannels.Values.OrderBy(s => s.Channel, StringComparer.Ordinal))
        {
            var judge = new ChannelJudge(history, stored, violations);
            judge.CheckStore();
            judge.CheckPublishes(byChannel[stored.Channel]);
            foreach (var consumer in consumers.Where(c => c.Channel == stored.Channel)) judge.CheckConsumer(consumer);
        }

        return new HistoryReport(violations, Summarize(history, publishes, consumers));
    }

    private static string Summarize(
        HistoryRecorder history, IReadOnlyCollection<PublishRecord> publishes, IReadOnlyCollection<ConsumerRecord> consumers)
    {
        var acknowledged = publishes.Count(p => p.Acknowledgements.Count > 0);
        var events = consumers.Select(c => c.Events).ToList();
        return $"{history.StoredChannels.Count} channels, {history.StoredChannels.Values.Sum(s => s.Messages.Count)} stored messages, "
            + $"{publishes.Count} publishes ({acknowledged} acknowledged, {publishes.Sum(p => p.Unknown)} unknown outcomes, "
            + $"{publishes.Sum(p => p.Attempts) - publishes.Count} repeats), {consumers.Count} consumers, "
            + $"{consumers.Sum(c => c.Received)} deliveries, {events.Sum(e => e.Count(x => x.Kind == ConsumerEventKind.Resumed))} resumes, "
            + $"{events.Sum(e => e.Count(x => x.Kind == ConsumerEventKind.Gap))} gaps";
    }
}
